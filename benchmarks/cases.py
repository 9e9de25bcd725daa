"""Results and gradients of single operations on seeded inputs, for comparing two devices.

python benchmarks/cases.py cpu|cuda RESULTS.npz
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from whole_files import save_arrays

from unidet.backend.runtime import bring_up

Arrays = dict[str, Any]
"""Tensors, or numpy arrays where an operation itself waits for its result."""
SAMPLE = 20_000  # most values saved of an array
GENERATOR = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return GENERATOR.standard_normal(shape, np.float32)


def with_gradients(function: Callable, *inputs: np.ndarray) -> Arrays:
    """The result and the gradients of its inner product with fixed weights."""
    import jittor as jt

    variables = [jt.array(array) for array in inputs]
    result = function(*variables)
    weights = np.cos(np.arange(result.numel(), dtype=np.float32)).reshape(result.shape)
    gradients = jt.grad((result * jt.array(weights)).sum(), variables)
    named = {f"gradient {row}": var for row, var in enumerate(gradients)}
    return {"result": result, **named}


def rois(count: int, images: int, size: float) -> np.ndarray:
    corners = GENERATOR.uniform(0, size * 0.8, (count, 2))
    sides = GENERATOR.uniform(4, size * 0.4, (count, 2))
    image = GENERATOR.integers(0, images, (count, 1))
    return np.concatenate([image, corners, corners + sides], axis=1).astype(np.float32)


def region_cases() -> dict[str, Callable[[], Arrays]]:
    import jittor as jt

    from unidet.ops.nms import nms
    from unidet.ops.roi_align import roi_align

    feats, boxes = normal(2, 64, 50, 68), jt.array(rois(200, 2, 800))
    many = rois(2000, 1, 200)[:, 1:]
    scores = GENERATOR.uniform(size=2000).astype(np.float32)
    return {
        "RoIAlign, adaptive": lambda: with_gradients(
            lambda x: roi_align(x, boxes, 14, 1 / 16), feats
        ),
        "RoIAlign, 2 samples": lambda: with_gradients(
            lambda x: roi_align(x, boxes, 7, 1 / 16, 2, False), feats
        ),
        "NMS": lambda: {"result": nms(many, scores, 0.5)},
    }


def convolution_cases() -> dict[str, Callable[[], Arrays]]:
    from jittor import nn

    from unidet.ops.batch_norm import BatchNorm2d
    from unidet.ops.depthwise_conv import depthwise_conv
    from unidet.ops.pointwise_conv import pointwise_conv

    def batch_norm(trains: bool) -> Callable:
        norm = BatchNorm2d(32, relu=True, leak=0.1)
        norm.is_train = trains
        return norm

    maps = normal(2, 32, 41, 53)
    return {
        "convolution 3 x 3": lambda: with_gradients(
            lambda x, w: nn.conv2d(x, w, stride=2, padding=1), maps, normal(48, 32, 3, 3)
        ),
        "convolution 3 x 3, dilated": lambda: with_gradients(
            lambda x, w: nn.conv2d(x, w, padding=2, dilation=2), maps, normal(48, 32, 3, 3)
        ),
        "convolution 1 x 1": lambda: with_gradients(pointwise_conv, maps, normal(16, 32, 1, 1)),
        "convolution 7 x 7": lambda: with_gradients(
            lambda x, w: nn.conv2d(x, w, stride=2, padding=3),
            normal(2, 3, 64, 96),
            normal(16, 3, 7, 7),
        ),
        "depthwise 3 x 3": lambda: with_gradients(
            lambda x, w: depthwise_conv(x, w, 1, 1, 1), maps, normal(32, 1, 3, 3)
        ),
        "depthwise 5 x 5, stride 2": lambda: with_gradients(
            lambda x, w: depthwise_conv(x, w, 2, 1, 2), maps, normal(32, 1, 5, 5)
        ),
        "batch norm, training": lambda: with_gradients(batch_norm(True), maps),
        "batch norm, frozen": lambda: with_gradients(batch_norm(False), maps),
        "maximum pool": lambda: with_gradients(
            lambda x: nn.max_pool2d(x, 3, stride=2, padding=1), maps
        ),
        "bilinear resize": lambda: with_gradients(
            lambda x: nn.interpolate(x, size=(80, 100), mode="bilinear"), maps
        ),
        "nearest resize": lambda: with_gradients(
            lambda x: nn.interpolate(x, size=(82, 106), mode="nearest"), maps
        ),
    }


def other_cases() -> dict[str, Callable[[], Arrays]]:
    import jittor as jt

    from unidet.ops.attention import attention
    from unidet.ops.deformable_attention import deformable_attention
    from unidet.ops.group_norm import GroupNorm

    sizes = ((20, 30), (10, 15), (5, 8))
    cells = sum(height * width for height, width in sizes)
    places = GENERATOR.uniform(-0.1, 1.1, (2, 50, 8, 3, 4, 2)).astype(np.float32)
    tokens = [normal(16, 50, 32) for _ in range(3)]
    matrix = normal(300, 200)
    return {
        "deformable attention": lambda: with_gradients(
            lambda v, p, w: deformable_attention(v, p, w, sizes),
            normal(2, cells, 8, 32),
            places,
            normal(2, 50, 8, 3, 4),
        ),
        "attention": lambda: with_gradients(attention, *tokens),
        "matrix product": lambda: with_gradients(jt.matmul, matrix, normal(200, 100)),
        "group norm": lambda: with_gradients(GroupNorm(4, 32), normal(2, 32, 9, 9)),
        "softmax": lambda: with_gradients(lambda x: jt.nn.softmax(x, dim=1), matrix),
        "exp, log, sigmoid": lambda: with_gradients(
            lambda x: jt.exp(x) * jt.sigmoid(x) + jt.log(x * x + 1), matrix
        ),
        "power": lambda: with_gradients(lambda x: (x * x + 0.01) ** 0.3, matrix),
        "gather rows": lambda: with_gradients(
            lambda x: x[jt.array(np.arange(0, 300, 7, dtype=np.int32))], matrix
        ),
        "sum over rows": lambda: with_gradients(lambda x: x.sum(dim=0), matrix),
        "sort": lambda: {"result": jt.argsort(jt.array(matrix))[1]},
        "where": lambda: {"result": jt.array(matrix > 0.5).nonzero()},
    }


def mixed_cases() -> dict[str, Callable[[], Arrays]]:
    """Operations that mixed precision computes in 16 bits.

    A CPU rounds in the same way; sums in a different order may round differently.
    """
    import jittor as jt
    from jittor import nn

    from unidet.training.precision import computing_in

    operations: dict[str, tuple[Callable, list[np.ndarray]]] = {
        "convolution 3 x 3": (
            lambda x, w: nn.conv2d(x, w, None, 2, 1),
            [normal(2, 32, 41, 53), normal(48, 32, 3, 3)],
        ),
        "linear layer": (lambda x, w: nn.linear(x, w), [normal(300, 200), normal(100, 200)]),
        "matrix product": (lambda x, y: jt.matmul(x, y), [normal(300, 200), normal(200, 100)]),
    }

    def case(operation: str, precision: Any) -> Arrays:
        function, inputs = operations[operation]
        with computing_in(precision):
            return with_gradients(function, *inputs)

    return {
        f"{operation}, {precision}": partial(case, operation, precision)
        for operation in operations
        for precision in ("bfloat16", "float16")
    }


def attempt(name: str, work: Callable[[], Any]) -> Any:
    """Result of `work`. An error is printed and gives None, so that other cases still run."""
    try:
        return work()
    except Exception as error:
        print(f"{name}: {str(error)[-1500:]}", flush=True)
        return None


def main(target: str) -> None:
    import jittor as jt

    started = time.time()
    results: Arrays = {}
    for make in (convolution_cases, region_cases, other_cases, mixed_cases):
        for name, case in make().items():
            arrays_of_case = attempt(name, case) or {}
            results |= {f"{name}: {part}": value for part, value in arrays_of_case.items()}
    # Synchronizing all at once lets Jittor compile their kernels in parallel.
    tensors = [value for value in results.values() if isinstance(value, jt.Var)]
    attempt("all at once", lambda: jt.sync(tensors))
    arrays = {}
    for name, value in results.items():
        fetch = value.numpy if isinstance(value, jt.Var) else value.copy
        array = attempt(name, fetch)
        if array is not None:
            arrays[name] = array.reshape(-1)[:: max(1, array.size // SAMPLE)]
    save_arrays(Path(target), arrays)
    print(f"{len(arrays)} arrays after {time.time() - started:.1f} s")


if __name__ == "__main__":
    print(bring_up(sys.argv[1]), flush=True)
    main(sys.argv[2])
