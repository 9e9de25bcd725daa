"""The input images of a graph: raw pixels, normalized inside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from unidet.export.graph import FLOAT, Graph, Port
from unidet.export.symbol import Free, Symbol

EXAMPLES = 7
"""Batch size while tracing; differs from all fixed sides, so that they are not confused."""


@dataclass(frozen=True)
class Pixels:
    """How a network's images are normalized; see `data.transforms.Transform`.

    Attributes:
        mean, std: of 8-bit values, in the order of `channels`.
        channels: order of the network's input channels.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Literal["rgb", "bgr"]

    def normalized(self, images_NHWC: Symbol) -> Symbol:
        """(N, 3, H, W) float32 in the network's channel order, from (N, H, W, 3) uint8 RGB."""
        graph = images_NHWC.graph
        order = [0, 1, 2] if self.channels == "rgb" else [2, 1, 0]
        mean = np.array(self.mean, np.float32)[order]
        factor = np.array([1 / deviation for deviation in self.std], np.float32)[order]
        values = images_NHWC.node("Cast", shape=images_NHWC.shape, to=FLOAT)
        images_NCHW = ((values - mean) * factor).transpose(0, 3, 1, 2)
        if self.channels == "rgb":
            return images_NCHW
        indices = Symbol.constant(graph, np.array(order, np.int64))
        return images_NCHW.node("Gather", indices, shape=images_NCHW.shape, axis=1)


def add_images(graph: Graph, height: int | None, width: int | None) -> Symbol:
    """Adds the input `images`, (N, H, W, 3) uint8 RGB; a side None is dynamic."""
    free = {"H": height, "W": width}
    sides = [name if side is None else side for name, side in free.items()]
    graph.inputs.append(
        Port("images", "uint8", ("N", *sides, 3), "RGB pixels, 0 to 255, of the network's size")
    )
    examples = [Free(EXAMPLE_SIDE) if side is None else side for side in free.values()]
    return Symbol(graph, "images", [Free(EXAMPLES), *examples, 3])


EXAMPLE_SIDE = 352
"""Dynamic sides while tracing, in pixels: a multiple of every stride."""
