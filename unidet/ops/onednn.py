"""Compiles and calls the C++ functions on blocked maps, most of which use oneDNN.

They are compiled once per compile cache of Jittor. Their source is in onednn_source.py,
transform_source.py, blocked_source.py, direct_source.py, winograd_source.py and
attention_source.py; kernel_calls.py has the calls.
"""

from __future__ import annotations

import ctypes
import functools
import shlex
from collections.abc import Sequence
from pathlib import Path

import jittor as jt

from unidet.backend.library import compiled
from unidet.ops import (
    attention_source,
    blocked_source,
    direct_source,
    onednn_source,
    transform_source,
    winograd_source,
)
from unidet.ops.kernel_calls import calling, declared, exported
from unidet.ops.recording import recording_of

KERNELS = (
    *("convolve", "convolve_backward_data", "convolve_backward_weights"),
    *("transform", "transform_backward_data", "transform_backward_weights"),
    *(
        "convolve_packed",
        "convolve_image",
        "multiply_packed",
        "depthwise_packed",
        "winograd",
        "pack_filters",
        "transform_filters",
    ),
    *("norm_factors", "arrange", "interleave", "flatten", "copy_part"),
    *("max_pool", "max_pool_backward", "mean_pool", "mean_pool_backward"),
    *("spread", "spread_backward", "stretch", "multiply", "attend"),
)

SOURCE = "".join(
    (
        onednn_source.SOURCE,
        transform_source.SOURCE,
        blocked_source.POOLS,
        blocked_source.INFERENCE,
        direct_source.SOURCE,
        winograd_source.SOURCE,
        attention_source.SOURCE,
        exported(KERNELS),
    )
)

_AVX512_CORE = 0x27  # dnnl_cpu_isa_avx512_core; later instruction sets have all these bits too


def run(
    kernel: str,
    shapes: Sequence[Sequence[int]],
    inputs: Sequence[jt.Var | None],
    numbers: Sequence[float] = (),
) -> list[jt.Var]:
    """Outputs of a kernel, which takes arrays and numbers in this order; None is a null pointer.

    A kernel reads addresses alone: its caller checks shapes (`require_shape`). Of recorded maps the
    call is recorded (recording.py).

    Raises:
        ValueError: an array is not float32.
    """
    for array in inputs:
        if isinstance(array, jt.Var) and array.dtype != "float32":
            raise ValueError(f"kernel {kernel} takes float32, not {array.dtype}")
    recording = recording_of(inputs)
    if recording is not None:
        return recording.add(kernel, shapes, inputs, numbers)
    load()
    given = [array for array in inputs if array is not None]
    places = iter(range(len(given)))
    arrays = ["nullptr" if array is None else f"in{next(places)}_p" for array in inputs]
    arrays += [f"out{row}_p" for row in range(len(shapes))]
    data = {f"n{row}": float(number) for row, number in enumerate(numbers)}
    return jt.code(
        list(shapes),
        ["float32"] * len(shapes),
        given,
        cpu_header=f'extern "C" {declared(kernel)};',
        cpu_src=calling(kernel, arrays, [f'data["{name}"]' for name in data]),
        data=data,
    )


def require_shape(what: str, array: jt.Var | None, shape: Sequence[int]) -> None:
    """ValueError where there is an array, of another shape: a kernel would read past its end."""
    if array is not None and tuple(array.shape) != tuple(shape):
        raise ValueError(f"{what} of shape {tuple(array.shape)}, must be {tuple(shape)}")


@functools.cache
def has_avx512() -> bool:
    """Whether oneDNN is installed and uses AVX-512 (sixteen float32 numbers at a time)."""
    if jt.compile_extern.mkl_ops is None:
        return False
    isa = ctypes.CDLL(str(_onednn() / "lib" / "libdnnl.so.2")).dnnl_get_effective_cpu_isa()
    return isa & _AVX512_CORE == _AVX512_CORE


@functools.cache
def load() -> ctypes.CDLL:
    """Load the kernels, so that others can call them. RuntimeError if compiling them fails."""
    flags = ["-std=c++14", "-Ofast", "-march=native", "-fopenmp", "-fPIC", "-shared", "-w"]
    command = [*shlex.split(jt.flags.cc_path), *flags, f"-I{_onednn() / 'include'}"]
    linked = [str(_onednn() / "lib" / "libdnnl.so.2")]
    library = compiled(SOURCE, command, Path(jt.flags.cache_path), "onednn", linked)
    return ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def _onednn() -> Path:
    """The folder with oneDNN's `include` and `lib` that Jittor's import has set up."""
    root = Path(jt.compiler.jit_utils.home()) / ".cache" / "jittor" / "mkl"
    (folder,) = (place for place in root.iterdir() if place.name.startswith("dnnl"))
    return folder
