"""Every CUDA source of ours goes through nvcc to machine code, for three generations of GPUs.

Jittor's `jt.code` puts tensors' types and shapes in place of `@ARGS_DEF` and `@ARGS`
(src/ops/code_op.cc); so does this test, and stands in for its tensors with two structs.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from unidet.backend import toolkits
from unidet.ops import batch_norm_cuda, deformable_attention, depthwise_conv_cuda, nms
from unidet.ops import deformable_attention_cuda as deformable_attention_source
from unidet.ops import roi_align_source as roi_align

GENERATIONS = (80, 90, 100)
FLOATS = "float"
Tensor = tuple[str, int]  # type and number of dimensions
MAPS: Tensor = (FLOATS, 4)
COLUMN: Tensor = (FLOATS, 1)
SAMPLES: list[Tensor] = [MAPS, (FLOATS, 5), MAPS, ("int", 2)]
KERNELS: dict[str, tuple[str, str, list[Tensor], list[Tensor]]] = {
    "nms": ("", nms._CUDA_SOURCE, [(FLOATS, 2)], [("int", 1), ("int", 2)]),
    "roi_align_forward": (
        roi_align.CUDA_HEADER,
        roi_align.CUDA_FORWARD,
        [MAPS, (FLOATS, 2)],
        [MAPS],
    ),
    "roi_align_backward": (
        roi_align.CUDA_HEADER,
        roi_align.CUDA_BACKWARD,
        [MAPS, (FLOATS, 2)],
        [MAPS],
    ),
    "depthwise_forward": (
        depthwise_conv_cuda.HEADER,
        depthwise_conv_cuda.FORWARD,
        [MAPS, MAPS],
        [MAPS],
    ),
    "depthwise_backward": (
        depthwise_conv_cuda.HEADER,
        depthwise_conv_cuda.BACKWARD,
        [MAPS, MAPS, MAPS],
        [MAPS, MAPS],
    ),
    "batch_norm_forward": (
        batch_norm_cuda.HEADER,
        batch_norm_cuda.FORWARD,
        [MAPS, *[COLUMN] * 4],
        [MAPS, COLUMN, COLUMN, (FLOATS, 3)],
    ),
    "batch_norm_backward": (
        batch_norm_cuda.HEADER,
        batch_norm_cuda.BACKWARD,
        [MAPS, MAPS, *[COLUMN] * 4],
        [MAPS, COLUMN, COLUMN, (FLOATS, 3)],
    ),
    "deformable_forward": (
        deformable_attention._CUDA_HEADER,
        deformable_attention_source.FORWARD,
        SAMPLES,
        [MAPS],
    ),
    "deformable_backward": (
        deformable_attention._CUDA_HEADER,
        deformable_attention_source.BACKWARD,
        [*SAMPLES, MAPS],
        SAMPLES[:3],
    ),
}
STUBS = r"""
#include <algorithm>
#include <map>
#include <string>
struct Tensor { long long num, size; };
static std::map<std::string, double> data;
"""


def program(header: str, source: str, inputs: list[Tensor], outputs: list[Tensor]) -> str:
    """A .cu file around a kernel: what Jittor would write, as far as nvcc looks at it."""
    tensors = [(f"in{row}", *kind) for row, kind in enumerate(inputs)]
    tensors += [(f"out{row}", *kind) for row, kind in enumerate(outputs)]
    declared, passed, locals_ = [], [], []
    for name, kind, dims in tensors:
        shape = [f"{name}_shape{dim}" for dim in range(dims)]
        declared += [f"{kind}* __restrict__ {name}_p", *(f"int {side}" for side in shape)]
        passed += [f"{name}_p", *shape]
        locals_ += [f"{kind}* {name}_p = nullptr;", f"Tensor* {name} = nullptr;"]
        locals_ += [f"int {side} = 1;" for side in shape]
        header += f"\ntypedef {kind} {name}_type;\n"
    source = source.replace("@ARGS_DEF", ", ".join([*declared, "int unused"]))
    source = source.replace("@ARGS", ", ".join([*passed, "0"]))
    end = [match.end() for match in re.finditer(r"^}\n", source, flags=re.MULTILINE)][-1]
    functions, body = source[:end], source[end:]
    body = "\n".join([*locals_, body])
    return f"{STUBS}{header}\nnamespace jittor {{\n{functions}\nvoid run() {{\n{body}\n}}\n}}\n"


@pytest.fixture(scope="module")
def nvcc() -> Path:
    for compiler in toolkits.compilers():
        return compiler
    pytest.skip("no nvcc: pip install 'unidet[cuda]'")


@pytest.mark.parametrize("name", KERNELS)
def test_kernel(name: str, nvcc: Path, tmp_path: Path) -> None:
    source = tmp_path / "kernel.cu"
    source.write_text(program(*KERNELS[name]))
    targets = [f"-gencode=arch=compute_{target},code=sm_{target}" for target in GENERATIONS]
    command = [nvcc, "-std=c++17", *targets, "-c", source, "-o", tmp_path / "kernel.o"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
