"""Kernels of our own: which source runs, the processor's or the GPU's, and what CUDA ones share.

Numbers travel as data, never as text in the source, so that nothing recompiles. Jittor compiles
the functions before the first launch beside it; in CUDA source `@ARGS_DEF` and `@ARGS` stand for
all inputs and outputs with their shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jittor as jt

Shape = Sequence[int]


@dataclass(frozen=True)
class Kernel:
    """C++ or CUDA for the body of one operation, and what comes before it."""

    source: str
    header: str = ""


def run(
    shapes: Sequence[Shape],
    dtypes: Sequence[str],
    inputs: list[jt.Var],
    *,
    cpu: Kernel,
    cuda: Kernel,
    values: Mapping[str, float],
) -> list[jt.Var]:
    """The outputs of the kernel for the device in use; `values` are its numbers by name."""
    if jt.flags.use_cuda:
        sources = {"cuda_header": cuda.header, "cuda_src": cuda.source}
    else:
        sources = {"cpu_header": cpu.header, "cpu_src": cpu.source}
    return jt.code(list(shapes), list(dtypes), inputs, data=dict(values), **sources)


GRID_HEADER = r"""
#include <algorithm>
namespace jittor {
static inline int blocks_for(long long total) {
    return (int)std::max<long long>(1, std::min<long long>((total + 255) / 256, 65535));
}
}
"""

SUM_HEADER = r"""
namespace jittor {
// The sum of every thread's value, to all threads; `parts` is shared, one for each thread.
__device__ static inline float block_sum(float value, float* parts) {
    parts[threadIdx.x] = value;
    __syncthreads();
    for (int half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    const float sum = parts[0];
    __syncthreads();
    return sum;
}
}
"""


def each(total: str) -> str:
    """The head of a loop whose turns `i`, below `total`, all threads of a launch share."""
    return (
        f"const long long step = (long long)blockDim.x * gridDim.x, total = {total};\n"
        "for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += step)"
    )
