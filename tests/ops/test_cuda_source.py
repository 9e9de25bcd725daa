"""The CUDA sources, run thread after thread on the CPU: what they compute, not how fast.

A machine without a GPU cannot launch them, so `<<<blocks, threads>>>` becomes nested loops. That
leaves out races and the syntax only nvcc knows; kernels with barriers run with a single thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops import batch_norm as batch_norm_module
from unidet.ops import kernels
from unidet.ops import nms as nms_module
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.deformable_attention import deformable_attention
from unidet.ops.depthwise_conv import depthwise_conv
from unidet.ops.nms import nms
from unidet.ops.roi_align import roi_align

STUBS = r"""
#include <algorithm>
#include <cmath>
#include <cstring>
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads()
#define cudaMemsetAsync(target, value, size) std::memset(target, value, size)
namespace jittor {
struct dim3 { int x, y; dim3(int x, int y = 1) : x(x), y(y) {} };
static dim3 threadIdx(0), blockIdx(0), blockDim(1), gridDim(1);
static unsigned removed[4096];
using std::max; using std::min; using std::sqrt;
template <class T> void atomicAdd(T* target, T value) { *target += value; }
}
"""

LAUNCH = r"""{{ gridDim = dim3({blocks}); blockDim = dim3({threads});
for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++)
for (threadIdx.y = 0; threadIdx.y < blockDim.y; threadIdx.y++)
for (threadIdx.x = 0; threadIdx.x < blockDim.x; threadIdx.x++)
{kernel}({arguments}); }}"""


def on_cpu(source: str) -> str:
    """Launches become loops; a kernel with shared memory, and so barriers, runs with one thread."""
    shared = {body.split("(")[0] for body in source.split("static void ") if "__shared__" in body}
    source = source.replace("extern __shared__ unsigned removed[];", "")

    def loops(launch: re.Match[str]) -> str:
        kernel, blocks, threads, arguments = launch.groups()
        threads = "1" if kernel in shared else threads.split(",")[0]
        return LAUNCH.format(kernel=kernel, blocks=blocks, threads=threads, arguments=arguments)

    source = re.sub(r"(\w+)<<<(.+?), (\w+[^>]*)>>>\((.*?)\);", loops, source, flags=re.DOTALL)
    assert "<<<" not in source
    return source


@pytest.fixture
def emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every kernel take its CUDA path, whose sources then run as CPU code."""

    def code(*args: object, cuda_src: str, cuda_header: str = "", **rest: object) -> jt.Var:
        return jt.code(*args, cpu_src=on_cpu(cuda_src), cpu_header=STUBS + cuda_header, **rest)

    stand_in = SimpleNamespace(flags=SimpleNamespace(use_cuda=1), code=code)
    monkeypatch.setattr(kernels, "jt", stand_in)
    for module in (nms_module, batch_norm_module):
        flags = SimpleNamespace(use_cuda=1)
        own = SimpleNamespace(flags=flags, array=jt.array, Function=jt.Function, in_mpi=False)
        monkeypatch.setattr(module, "jt", own)


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
    for actual, wanted in zip(pooled_and_gradient(ratio, aligned), expected, strict=True):
        assert np.abs(wanted).max() > 0.1
        assert_allclose(actual, wanted, atol=2e-5)


def test_nms(request: pytest.FixtureRequest) -> None:
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 60, (300, 2))
    corners = np.concatenate([low, low + rng.uniform(10, 50, (300, 2))], axis=1)
    corners[:4] = [[5, 5, 5, 5], [5, 5, 5, 5], [8, 0, 2, 9], [0, 0, 9, 9]]
    boxes = corners.astype(np.float32)
    scores = rng.uniform(size=300).astype(np.float32)
    expected = nms(boxes, scores, 0.5)
    request.getfixturevalue("emulated")
    assert_array_equal(nms(boxes, scores, 0.5), expected)


def results(function: Callable[..., jt.Var], *inputs: np.ndarray) -> list[np.ndarray]:
    """The result, and the gradients of its product with fixed weights."""
    variables = [jt.array(array) for array in inputs]
    result = function(*variables)
    weights = np.cos(np.arange(result.numel(), dtype=np.float32)).reshape(result.shape)
    gradients = jt.grad((result * jt.array(weights)).sum(), variables)
    return [result.numpy(), *(gradient.numpy() for gradient in gradients)]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(6).standard_normal(shape).astype(np.float32)


def frozen_norm() -> BatchNorm2d:
    norm = BatchNorm2d(5, relu=True, leak=0.1)
    norm.is_train = False
    return norm


SIZES = ((4, 5), (2, 3))
CASES: dict[str, tuple[Callable[..., jt.Var], list[np.ndarray]]] = {
    "depthwise": (
        lambda x, w: depthwise_conv(x, w, 1, 1, 1),
        [normal(2, 3, 7, 6), normal(3, 1, 3, 3)],
    ),
    "depthwise_strided": (
        lambda x, w: depthwise_conv(x, w, 2, 1, 2),
        [normal(2, 3, 8, 9), normal(3, 1, 5, 5)],
    ),
    "deformable_attention": (
        lambda v, p, w: deformable_attention(v, p, w, SIZES),
        [
            normal(2, 26, 2, 4),
            np.random.default_rng(7).uniform(-0.2, 1.2, (2, 3, 2, 2, 2, 2)).astype(np.float32),
            normal(2, 3, 2, 2, 2),
        ],
    ),
    "batch_norm": (BatchNorm2d(5, relu=True, leak=0.1), [normal(3, 5, 6, 7) * 3 + 2]),
    "batch_norm_of_few": (BatchNorm2d(5), [normal(3, 5, 1, 1)]),
    "batch_norm_frozen": (frozen_norm(), [normal(3, 5, 6, 7)]),
}


@pytest.mark.parametrize("name", CASES)
def test_as_on_the_cpu(name: str, request: pytest.FixtureRequest) -> None:
    function, inputs = CASES[name]
    expected = results(function, *inputs)
    request.getfixturevalue("emulated")
    for actual, wanted in zip(results(function, *inputs), expected, strict=True):
        assert np.abs(wanted).max() > 0.01
        assert_allclose(actual, wanted, atol=1e-4, rtol=1e-4)
