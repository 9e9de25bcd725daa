"""The figures of a study that its page shows, as plain data: what `study.json` holds.

None stands for what is undefined. IoU is .5 wherever none is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from unidet.errors import UserError

PAGE, FIGURES = "report.html", "study.json"
"""Files of a report's artefact."""
Number = float | None
FREQUENCY_NAMES = {"r": "rare", "c": "common", "f": "frequent"}
Lines = dict[str, list[Number]]
"""Values of several lines by name, over a common axis."""


def _require_lengths(count: int, *lists: Sequence[object]) -> None:
    """ValueError where they do not have a value for each place of their axis: such a file is not
    of our making."""
    if any(len(values) != count for values in lists):
        raise ValueError(f"{[len(values) for values in lists]} values for {count} places")


@dataclass(frozen=True)
class CategoryFigures:
    """One category of an evaluation set; `images` and `boxes` are annotated there."""

    id: int
    name: str
    frequency: str | None
    novel: bool | None
    images: int
    boxes: int
    AP: Number
    AP50: Number
    AR: Number


@dataclass(frozen=True)
class ReliabilityFigures:
    """Per bin of the score: detections, their mean score, the share of them that is right."""

    counts: list[int]
    scores: list[Number]
    shares: list[Number]
    error: Number

    def __post_init__(self) -> None:
        _require_lengths(len(self.counts), self.scores, self.shares)


@dataclass(frozen=True)
class Point:
    """The score from which on detections are shown, where F1 is highest."""

    score: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Confused:
    """`count` boxes of `name`, a `share` of all that have it, are `called` something else."""

    name: str
    called: str
    count: int
    share: float


@dataclass(frozen=True)
class Fates:
    """Annotated boxes: found under their name, found under another one only, or missed."""

    right: int
    confused: int
    missed: int


@dataclass(frozen=True)
class Matrix:
    """Boxes by their own name (rows) and by the one they are given (columns).

    Columns are `names`, then any other name, then missed.
    """

    names: list[str]
    counts: list[list[int]]

    def __post_init__(self) -> None:
        _require_lengths(len(self.names), self.counts)
        _require_lengths(len(self.names) + 2, *self.counts)


@dataclass(frozen=True)
class EvaluatedSet:
    """What a detector reaches on one evaluation set.

    Attributes:
        closed: whether a closed-set detector is evaluated, not the open-world one.
        metrics: in the evaluator's order.
        precision: by group of categories, at recall 0, .01 … 1; the mean over the group.
        reliability: by group of categories.
        point: None where nothing is found.
    """

    name: str
    style: Literal["lvis", "coco"]
    closed: bool
    images: int
    detections: int
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
    """Class-agnostic recall of a set's proposals, the best of each image.

    Attributes:
        numbers: of proposals.
        lines: mean recall over IoU .5:.95, by size of the boxes.
        groups: the same for boxes of base and of novel categories, where both are known.
    """

    name: str
    training: bool
    numbers: list[int]
    lines: Lines
    groups: Lines

    def __post_init__(self) -> None:
        _require_lengths(len(self.numbers), *self.lines.values(), *self.groups.values())


@dataclass(frozen=True)
class Grid:
    """AP over β (rows) and γ (columns) at a number of detections of an image."""

    most: int
    AP: list[list[Number]]


@dataclass(frozen=True)
class Sweep:
    """What `calibration_sweep` measured on a set."""

    name: str
    betas: list[float]
    gammas: list[float]
    grids: list[Grid]

    def __post_init__(self) -> None:
        for grid in self.grids:
            _require_lengths(len(self.betas), grid.AP)
            _require_lengths(len(self.gammas), *grid.AP)


@dataclass(frozen=True)
class Training:
    """A training log: each quantity at `steps`, no more than a chart can show."""

    stage: str
    steps: list[int]
    losses: Lines
    rate: list[Number]

    def __post_init__(self) -> None:
        _require_lengths(len(self.steps), *self.losses.values(), self.rate)


@dataclass(frozen=True)
class DataFigures:
    """One dataset; `novel` categories are labelled in no training set."""

    name: str
    use: str
    images: int
    boxes: int
    categories: int
    novel: int | None


@dataclass(frozen=True)
class FineTuned:
    """What a network reaches on an evaluation set, before or after it learned new names.

    `names` and `AP` by group: "new" learned by fine-tuning, "old" trained before, "other" neither.
    """

    name: str
    network: str
    names: dict[str, int]
    AP: dict[str, Number]


@dataclass(frozen=True)
class Study:
    """Everything the page says in numbers; the first evaluated set is the main one.

    Attributes:
        beta, gamma: of the calibration; None in a closed-set study.
        inputs: text of a node -> digest of the artefact that was read.
        fine_tuned: networks of every set, the one before fine-tuning first; empty without any.
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
    """Write the figures as JSON; the same figures are the same bytes."""
    path.write_bytes(_adapter().dump_json(study, indent=1))


def load_study(path: Path) -> Study:
    """Read what `save_study` wrote.

    Raises:
        UserError: absent, or of another version.
    """
    try:
        return _adapter().validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        raise UserError(
            f"{path}: no figures of a report, or those of another version; run its stage=report"
        ) from None
