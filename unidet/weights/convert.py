"""Converts an official checkpoint to a file of ours, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from unidet.counts import counted
from unidet.errors import UserError
from unidet.store.disk import check_target
from unidet.weights.layouts.layout import Weights, listed, to_ours
from unidet.weights.layouts.registry import layout_named, open_weights, write_ours
from unidet.weights.write import write_jittor, write_torch

Side = Literal["torch", "ours"]

SUFFIXES: dict[Side, tuple[str, ...]] = {"ours": (".safetensors", ".pkl"), "torch": (".pth", ".pt")}


def convert_file(source: str, destination: str, layout: str | None, to: Side | None) -> list[str]:
    """Write `destination` atomically; returns a few lines on what was done.

    Args:
        layout: of the official file: of `destination` where its side is "torch" (the source must
            then be of the same network), else of `source`.
        to: "ours" for our names, "torch" for the layout's; None for what the suffix says.

    Raises:
        UserError: the source fits no layout or holds NaN, or the destination cannot be written;
            nothing is written then.
    """
    target = Path(destination)
    side = _side(target, to)
    check_target(target, inputs=(source,))
    if side == "torch" and layout:
        written_as = layout_named(layout)
        weights = open_weights(source, network=written_as.network)
    else:
        weights = open_weights(source, layout=layout)
        written_as = weights.layout
    lines = [f"{source}: {weights.layout.name} ({weights.layout.summary}){_unwrapped(weights)}"]
    if side == "ours":
        written: Mapping[str, np.ndarray] = to_ours(weights)
        _write_ours(target, weights)
    else:
        written = written_as.to_official(weights)
        write_torch(target, written)
        if left_out := written_as.left_out(weights):
            lines.append(f"left out, as it has no place there: {listed('arrays', left_out)}")
    if weights.classes and target.suffix != ".safetensors":
        names = f"the names of its {counted(len(weights.classes), 'class', 'classes')}"
        lines.append(f"left out: {names}, which only .safetensors holds")
    whose = f"our {weights.layout.network}" if side == "ours" else written_as.name
    return [
        *lines,
        f"{destination}: {counted(len(written), 'array')} for {whose}{_vocabularies(weights)}",
    ]


def _side(target: Path, to: Side | None) -> Side:
    for side, suffixes in SUFFIXES.items():
        if target.suffix in suffixes and to in (None, side):
            return side
    allowed = "; ".join(
        f"--to {side}: {' or '.join(suffixes)}"
        for side, suffixes in SUFFIXES.items()
        if to in (None, side)
    )
    raise UserError(f"{target}: its suffix must be one of {allowed}")


def _write_ours(target: Path, weights: Weights) -> None:
    if target.suffix == ".pkl":
        write_jittor(target, to_ours(weights))
    else:
        write_ours(target, weights)


def _unwrapped(weights: Weights) -> str:
    return f", its names without {' '.join(weights.removed)}" if weights.removed else ""


def _vocabularies(weights: Weights) -> str:
    names = [str(len(vocabulary)) for vocabulary in weights.vocabularies]
    return f", vocabularies of {' and '.join(names)} names" if names else ""
