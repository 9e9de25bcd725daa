"""Compiles and calls the C++ functions on blocked maps, most of which use oneDNN.

They are compiled once per compile cache of Jittor. Their source is in onednn_source.py,
transform_source.py, blocked_source.py, winograd_source.py and attention_source.py.
"""

from __future__ import annotations

import ctypes
import functools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import jittor as jt

from unidet.backend.library import compiled
from unidet.ops import (
    attention_source,
    blocked_source,
    onednn_source,
    transform_source,
    winograd_source,
)

SOURCE = "".join(
    (
        onednn_source.SOURCE,
        transform_source.SOURCE,
        blocked_source.POOLS,
        blocked_source.INFERENCE,
        winograd_source.SOURCE,
        attention_source.SOURCE,
    )
)

_AVX512_CORE = 0x27  # dnnl_cpu_isa_avx512_core; later instruction sets have all these bits too


_HEADER = r"""
extern "C" {
void unidet_convolve(const float*, const float*, const float*, const float*, const float*, float*,
                     const int*, float, bool);
void unidet_convolve_backward_data(const float*, const float*, float*, const int*);
void unidet_convolve_backward_weights(const float*, const float*, float*, float*, const int*, bool);
void unidet_transform(const float*, const float*, const float*, const float*, const float*, float*,
                      const int*, float, bool);
void unidet_transform_backward_data(const float*, const float*, float*, const int*);
void unidet_transform_backward_weights(const float*, const float*, float*, float*, const int*,
                                       bool);
void unidet_arrange(const float*, float*, int, int, int, int, bool);
void unidet_multiply(const float*, const float*, float*, long long, long long, long long, long long,
                     bool, bool);
void unidet_max_pool(const float*, float*, int, int, int, int, int, int);
void unidet_max_pool_backward(const float*, const float*, const float*, float*, int, int, int, int,
                              int, int);
void unidet_mean_pool(const float*, float*, int, int, int, int, int, int, int);
void unidet_mean_pool_backward(const float*, float*, int, int, int, int, int, int, int);
void unidet_spread(const float*, float*, int, int, int, int, int, int);
void unidet_spread_backward(const float*, float*, int, int, int, int, int, int);
void unidet_norm_factors(const float*, const float*, const float*, const float*, float*, float*,
                         int, double);
void unidet_pack_filters(const float*, float*, int, int, int);
void unidet_transform_filters(const float*, float*, int, int);
void unidet_convolve_packed(const float*, const float*, const float*, const float*, const float*,
                            float*, const int*, float, bool, bool);
void unidet_winograd(const float*, const float*, const float*, const float*, const float*, float*,
                     const int*, float, bool, bool);
void unidet_depthwise_packed(const float*, const float*, const float*, const float*, float*,
                             const int*, float);
void unidet_attend(const float*, const float*, const float*, const float*, float*, int, int, int,
                   int, int);
void unidet_interleave(const float*, const float*, float*, int, int, int, int, int);
void unidet_stretch(const float*, float*, int, int, int, int, int, int);
}
"""


def run(
    source: str,
    shapes: Sequence[Sequence[int]],
    inputs: list[jt.Var],
    values: Mapping[str, float] | None = None,
) -> list[jt.Var]:
    """Outputs of `source`, which calls the functions; `values` are its numbers by name."""
    load()
    types = ["float32"] * len(shapes)
    data = dict(values or {})
    return jt.code(list(shapes), types, inputs, cpu_header=_HEADER, cpu_src=source, data=data)


@functools.cache
def has_avx512() -> bool:
    """Whether oneDNN is installed and uses AVX-512 (sixteen float32 numbers at a time)."""
    if jt.compile_extern.mkl_ops is None:
        return False
    isa = ctypes.CDLL(str(_onednn() / "lib" / "libdnnl.so.2")).dnnl_get_effective_cpu_isa()
    return isa & _AVX512_CORE == _AVX512_CORE


@functools.cache
def load() -> None:
    """Load the functions, so that kernels can call them. RuntimeError if compiling them fails."""
    flags = ["-std=c++14", "-Ofast", "-march=native", "-fopenmp", "-fPIC", "-shared", "-w"]
    command = [*shlex.split(jt.flags.cc_path), *flags, f"-I{_onednn() / 'include'}"]
    linked = [str(_onednn() / "lib" / "libdnnl.so.2")]
    library = compiled(SOURCE, command, Path(jt.flags.cache_path), "onednn", linked)
    ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)


def _onednn() -> Path:
    """The folder with oneDNN's `include` and `lib` that Jittor's import has set up."""
    root = Path(jt.compiler.jit_utils.home()) / ".cache" / "jittor" / "mkl"
    (folder,) = (place for place in root.iterdir() if place.name.startswith("dnnl"))
    return folder
