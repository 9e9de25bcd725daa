"""Whether a checkpoint is one that a new study's first network can start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from unidet.errors import UserError
from unidet.pipelines.wiring.class_outputs import CLASS_ROWS, kept_outputs
from unidet.weights.layouts.layout import Layout
from unidet.weights.layouts.registry import open_weights
from unidet.weights.read import read_checkpoint

CLOSED_SET = ("nanodet_plus_m", "torchvision_shufflenet_v2_x1_0")
"""Layouts that the network of `conf/rpn/own_nanodet_plus.yaml` starts from."""
_CLASSLESS = {"unidetector_stage1": "cln", "unidetector_stage1_rpn": "rpn"}
"""Layouts of networks that tell no classes apart, and their kinds."""


def require_start(path: Path, *, knows_text: bool) -> None:
    """UserError unless the first network of a study, with text or without, can start from a file.

    That of a study with text is in no layout: only what is of another network is refused.
    """
    try:
        layout = open_weights(path).layout
    except UserError as error:
        if knows_text and read_checkpoint(path):
            return
        raise UserError(f"--weights {error}") from None
    if knows_text:
        starts = "a study with text starts from a model.safetensors of stage rpn of such a study"
    elif layout.name not in CLOSED_SET:
        starts = f"a closed-set study starts from {' or '.join(CLOSED_SET)}"
    else:
        return
    raise UserError(f"--weights {path}: {what_it_is(layout)}; {starts} (docs/own-data.md)")


def start_of(path: Path, names: Sequence[str]) -> Iterator[str]:
    """A line on what a closed-set study of these names starts with; none of a mere backbone."""
    weights = open_weights(path)
    array, others = CLASS_ROWS["nanodet_plus"]
    if array in weights.arrays:
        count = len(weights.arrays[array]) - others
        yield f"--weights {path}: {kept_outputs(names, count, weights.classes)}"


def what_it_is(layout: Layout) -> str:
    """What a checkpoint of a layout is, after its name."""
    if layout.name in _CLASSLESS:
        return no_classes(_CLASSLESS[layout.name])
    return f"holds {layout.summary}"


def no_classes(kind: str) -> str:
    """What is said of a proposal network where a detector of classes is asked for."""
    return f"is a proposal network ({kind}), which tells no classes apart"
