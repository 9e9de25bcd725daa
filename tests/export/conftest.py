"""Tests here need Jittor, brought up as the command does it; ONNX Runtime judges the files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnxruntime
import pytest

from unidet.backend.runtime import bring_up
from unidet.export.file import checked_model
from unidet.export.graph import Graph

bring_up()
MEAN, STD = (103.53, 116.28, 123.675), (57.375, 57.12, 58.395)
Run = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


@pytest.fixture(scope="session")
def runs() -> Callable[[Graph], Run]:
    """Makes of a graph what runs it: arrays by name, to arrays by name."""

    def of(graph: Graph) -> Run:
        session = onnxruntime.InferenceSession(
            checked_model(graph, {}).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))

    return of


@pytest.fixture(scope="session")
def pictures() -> Callable[[int, int, int], np.ndarray]:
    """(N, H, W, 3) uint8, each unlike the others."""

    def make(count: int, height: int, width: int) -> np.ndarray:
        rng = np.random.default_rng(count)
        return rng.integers(0, 256, (count, height, width, 3), np.uint8)

    return make


@pytest.fixture(scope="session")
def normalized() -> Callable[..., np.ndarray]:
    """(N, 3, H, W) of images, as the loader makes them."""
    from unidet.data.transforms import Stretch, Transform

    def of(pictures_NHWC: np.ndarray, channels: Any) -> np.ndarray:
        height, width = pictures_NHWC.shape[1:3]
        transform = Transform(Stretch(((width, height),)), MEAN, STD, channels=channels)
        nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int32), None)
        rng = np.random.default_rng(0)
        return transform.collate(
            [transform.apply(pixels, *nothing, rng) for pixels in pictures_NHWC]
        ).images_NCHW

    return of
