"""Custom kernels: choice between C++ and CUDA source, and parts that CUDA sources share.

Numbers are passed as data and never written into the source, so that no kernel is compiled twice.
In CUDA source, `@ARGS_DEF` and `@ARGS` stand for all inputs and outputs with their shapes, and
Jittor moves the `__global__` functions at the start of the source into the header.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jittor as jt

Shape = Sequence[int]


@dataclass(frozen=True)
class Kernel:
    """C++ or CUDA source of one operation's body, and of the header before it."""

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
    """Outputs of the kernel for the device in use; `values` are its numbers by name."""
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


def grid_stride_loop(total: str) -> str:
    """Head of a grid-stride loop: all threads of a launch share the indices `i` below `total`."""
    return (
        f"const long long step = (long long)blockDim.x * gridDim.x, total = {total};\n"
        "for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < total; i += step)"
    )
