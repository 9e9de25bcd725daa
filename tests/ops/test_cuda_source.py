"""The CUDA sources, run thread after thread on the CPU: what they compute, not how fast.

A machine without a GPU cannot launch them, so `<<<blocks, threads>>>` becomes nested loops. That
leaves out races and the syntax only nvcc knows; kernels with barriers run with a single thread.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops import nms as nms_module
from unidet.ops import roi_align as roi_align_module
from unidet.ops.nms import nms
from unidet.ops.roi_align import roi_align

STUBS = r"""
#include <algorithm>
#include <cmath>
#include <cstring>
#define __global__
#define __device__
#define __shared__
#define __syncthreads()
#define cudaMemsetAsync(target, value, size) std::memset(target, value, size)
namespace jittor {
struct dim3 { int x, y; dim3(int x, int y = 1) : x(x), y(y) {} };
static dim3 threadIdx(0), blockIdx(0), blockDim(1), gridDim(1);
static unsigned removed[4096];
using std::max; using std::min;
template <class T> void atomicAdd(T* target, T value) { *target += value; }
}
"""

LAUNCH = r"""{ gridDim = dim3(\2); blockDim = dim3(\3);
for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
for (threadIdx.y = 0; threadIdx.y < blockDim.y; threadIdx.y++)
for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++)
\1(\4); }"""


def on_cpu(source: str) -> str:
    source = source.replace("extern __shared__ unsigned removed[];", "")
    source = source.replace("<<<1, 256, in0_shape1 * sizeof(unsigned)>>>", "<<<1, 1>>>")
    source = re.sub(r"(\w+)<<<([^,]+), ([^>]+)>>>\((.*?)\);\s*$", LAUNCH, source, flags=re.DOTALL)
    assert "<<<" not in source
    return source


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes both modules take their CUDA path, whose sources then run as CPU code."""

    def code(*args: object, cuda_src: str, cuda_header: str = "", **rest: object) -> jt.Var:
        return jt.code(*args, cpu_src=on_cpu(cuda_src), cpu_header=STUBS + cuda_header, **rest)

    stand_in = SimpleNamespace(flags=SimpleNamespace(use_cuda=1), code=code, array=jt.array)
    for module in (nms_module, roi_align_module):
        monkeypatch.setattr(module, "jt", stand_in)


def roi_align_example() -> tuple[np.ndarray, jt.Var]:
    rng = np.random.default_rng(4)
    corners = rng.uniform(-20, 120, (12, 4))
    rois = np.concatenate([rng.integers(0, 3, (12, 1)), corners], axis=1).astype(np.float32)
    return rng.standard_normal((2, 5, 9, 13)).astype(np.float32), jt.array(rois)


def pooled_and_gradient(ratio: int, aligned: bool) -> tuple[np.ndarray, np.ndarray]:
    feats, rois = roi_align_example()
    variable = jt.array(feats)
    pooled = roi_align(variable, rois, (3, 4), 1 / 8, ratio, aligned)
    return pooled.numpy(), jt.grad((pooled * pooled).sum(), variable).numpy()


@pytest.mark.parametrize(("ratio", "aligned"), [(0, True), (2, False)])
def test_roi_align(ratio: int, aligned: bool, request: pytest.FixtureRequest) -> None:
    expected = pooled_and_gradient(ratio, aligned)
    request.getfixturevalue("emulated")
    for found, wanted in zip(pooled_and_gradient(ratio, aligned), expected, strict=True):
        assert np.abs(wanted).max() > 0.1
        assert_allclose(found, wanted, atol=2e-5)


def test_nms(request: pytest.FixtureRequest) -> None:
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 60, (300, 2))
    corners = np.concatenate([low, low + rng.uniform(10, 50, (300, 2))], axis=1)
    corners[:4] = [[5, 5, 5, 5], [5, 5, 5, 5], [8, 0, 2, 9], [0, 0, 9, 9]]
    boxes = jt.array(corners.astype(np.float32))
    scores = jt.array(rng.uniform(size=300).astype(np.float32))
    expected = nms(boxes, scores, 0.5).numpy()
    request.getfixturevalue("emulated")
    assert_array_equal(nms(boxes, scores, 0.5).numpy(), expected)
