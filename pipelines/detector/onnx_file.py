"""A network's graph with what its user must know, and the ONNX file of both."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import unidet
from unidet.config.images import ImageConfig, KeepRatioImages
from unidet.errors import UserError
from unidet.export.file import need_onnx, save_graph
from unidet.export.graph import Graph
from unidet.store.disk import check_target

SUFFIX = ".onnx"
GRAPHS = ("NanoDetPlus", "RTDETR")
"""Closed-set networks of which `export.closed_set` makes graphs."""


@dataclass(frozen=True)
class Exported:
    """A graph.

    Attributes:
        names: what its labels count.
        resize: how images come to the size of its images.
    """

    graph: Graph
    names: tuple[str, ...]
    resize: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the file, with names and resize as JSON in its metadata."""
        texts = {
            "names": json.dumps(self.names, ensure_ascii=False),
            "resize": json.dumps(self.resize),
            "unidet": unidet.__version__,
        }
        save_graph(self.graph, path, texts)


def no_graph(network: object) -> UserError:
    """What to say of a network that has no graph."""
    return UserError(
        f"export-onnx: no graph of {type(network).__name__}; there are graphs of "
        f"{', '.join(GRAPHS)} and of a second stage over given proposals"
    )


def check_onnx_target(path: Path) -> None:
    """Before long work: UserError where no ONNX file can be written there, or at all."""
    check_target(path, (SUFFIX,))
    need_onnx()


def resize_of(images: ImageConfig) -> dict[str, Any]:
    """How an image is resized for the network, in words of the configuration."""
    common = {"kind": images.kind, "interpolation": images.interpolation}
    if isinstance(images, KeepRatioImages):
        sides = {"short_side": images.test_short_side, "long_side": images.test_long_side}
        return {**common, **sides, "divisor": images.divisor}
    return {**common, "side": images.test_side}
