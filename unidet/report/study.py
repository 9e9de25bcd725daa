"""The figures of a study's page as plain data, stored in `study.json`.

None means undefined. IoU is .5 unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from unidet.errors import UserError
from unidet.store.disk import read_plain

PAGE, FIGURES = "report.html", "study.json"
"""Files in a report's artefact."""
Finite = Annotated[float, Field(allow_inf_nan=False)]
Number = Finite | None
Count = Annotated[int, Field(ge=0)]
FREQUENCY_NAMES = {"r": "rare", "c": "common", "f": "frequent"}
Lines = dict[str, list[Number]]
"""Name of a line -> its values over a common axis."""


def _require_lengths(count: int, *lists: Sequence[object]) -> None:
    """ValueError if the lists do not have one value per place of their axis.

    Such a file was not written by unidet.
    """
    if any(len(values) != count for values in lists):
        raise ValueError(f"{[len(values) for values in lists]} values for {count} places")


@dataclass(frozen=True)
class CategoryFigures:
    """One category of an evaluation set; `images` and `boxes` are numbers of annotated ones."""

    id: int
    name: str
    frequency: str | None
    novel: bool | None
    images: Count
    boxes: Count
    AP: Number
    AP50: Number
    AR: Number


@dataclass(frozen=True)
class ReliabilityFigures:
    """Per bin of the score: number of detections, their mean score, and their precision.

    `error` is the expected calibration error.
    """

    counts: list[Count]
    scores: list[Number]
    shares: list[Number]
    error: Number

    def __post_init__(self) -> None:
        _require_lengths(len(self.counts), self.scores, self.shares)


@dataclass(frozen=True)
class Point:
    """The score threshold with the highest F1; detections above it are shown."""

    score: Finite
    precision: Finite
    recall: Finite
    f1: Finite


@dataclass(frozen=True)
class Confused:
    """`count` boxes of `name`, a fraction `share` of all with this name, are found as `called`."""

    name: str
    called: str
    count: Count
    share: Finite


@dataclass(frozen=True)
class Fates:
    """Annotated boxes: found under their name, found only under another one, or missed."""

    right: Count
    confused: Count
    missed: Count


@dataclass(frozen=True)
class Matrix:
    """Confusion matrix: boxes by their own name (rows) and by the name they are found under.

    Columns are `names`, then any other name, then missed.
    """

    names: list[str]
    counts: list[list[Count]]

    def __post_init__(self) -> None:
        _require_lengths(len(self.names), self.counts)
        _require_lengths(len(self.names) + 2, *self.counts)


@dataclass(frozen=True)
class EvaluatedSet:
    """Results of a detector on one evaluation set.

    Attributes:
        closed: whether the detector is a closed-set one; else open-world.
        metrics: in the evaluator's order.
        precision: group of categories -> mean precision at recall 0, .01 … 1.
        reliability: by group of categories.
        point: None if nothing is detected.
    """

    name: str
    style: Literal["lvis", "coco"]
    closed: bool
    images: Count
    detections: Count
    metrics: dict[str, Number]
    categories: list[CategoryFigures]
    precision: Lines
    reliability: dict[str, ReliabilityFigures]
    point: Point | None
    fates: Fates
    confusions: list[Confused]
    matrix: Matrix

    def __post_init__(self) -> None:
        _require_lengths(101, *self.precision.values())


@dataclass(frozen=True)
class Recall:
    """Class-agnostic recall of a set's proposals, the best ones per image.

    Attributes:
        numbers: numbers of proposals per image, two or more, ascending from 1 or more.
        lines: mean recall over IoU .5:.95, by size of the boxes.
        groups: the same for boxes of base and of novel categories, if both are known.
    """

    name: str
    training: bool
    numbers: list[int]
    lines: Lines
    groups: Lines

    def __post_init__(self) -> None:
        _require_lengths(len(self.numbers), *self.lines.values(), *self.groups.values())
        if len(self.numbers) < 2 or any(b <= a for a, b in pairwise([0, *self.numbers])):
            raise ValueError(f"{self.numbers} are no numbers of proposals")


@dataclass(frozen=True)
class Grid:
    """AP over β (rows) and γ (columns) with at most `most` detections per image."""

    most: Count
    AP: list[list[Number]]


@dataclass(frozen=True)
class Sweep:
    """Results of `calibration_sweep` on one set."""

    name: str
    betas: list[Finite]
    gammas: list[Finite]
    grids: list[Grid]

    def __post_init__(self) -> None:
        for grid in self.grids:
            _require_lengths(len(self.betas), grid.AP)
            _require_lengths(len(self.gammas), *grid.AP)


@dataclass(frozen=True)
class Training:
    """A training log: each quantity at `steps`, reduced to what a chart can show."""

    stage: str
    steps: list[Count]
    losses: Lines
    rate: list[Number]

    def __post_init__(self) -> None:
        _require_lengths(len(self.steps), *self.losses.values(), self.rate)


@dataclass(frozen=True)
class DataFigures:
    """One dataset; `novel` counts categories that no training set labels."""

    name: str
    use: str
    images: Count
    boxes: Count
    categories: Count
    novel: Count | None


@dataclass(frozen=True)
class FineTuned:
    """AP of a network on an evaluation set, before or after it learned new names.

    `names` and `AP` are by group: "new" names learned by fine-tuning, "old" ones learned before,
    and "other" ones.
    """

    name: str
    network: str
    names: dict[str, Count]
    AP: dict[str, Number]


@dataclass(frozen=True)
class Study:
    """All numbers of a page; the first evaluated set is the main one.

    Attributes:
        beta, gamma: of the calibration; None in a closed-set study.
        inputs: text of a node -> digest of the artefact that was read.
        fine_tuned: networks of every set, the one before fine-tuning first; empty without
            fine-tuning.
    """

    beta: Number
    gamma: Number
    sets: list[EvaluatedSet]
    recalls: list[Recall]
    sweeps: list[Sweep]
    training: list[Training]
    data: list[DataFigures]
    inputs: dict[str, str]
    fine_tuned: list[FineTuned] = field(default_factory=list)


@cache
def _adapter() -> TypeAdapter[Study]:
    return TypeAdapter(Study)


def save_study(study: Study, path: Path) -> None:
    """Writes the figures as JSON; equal figures give equal bytes."""
    path.write_bytes(_adapter().dump_json(study, indent=1))


def load_study(path: Path) -> Study:
    """Reads a file of `save_study`.

    Raises:
        UserError: the file does not exist, or has the format of another version.
    """
    try:
        return _adapter().validate_json(read_plain(path))
    except (FileNotFoundError, ValueError):  # also pydantic's error
        raise UserError(
            f"{path}: no figures of a report, or those of another version; run its stage=report"
        ) from None
