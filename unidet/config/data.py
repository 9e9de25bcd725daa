"""Schema of `conf/data/`: the datasets of a study, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unidet.config.fields import (
    Check,
    FilePath,
    NonNegative,
    Positive,
    Tagged,
    Within,
    free,
    visible,
)

Style = Literal["lvis", "coco"]
Vocabulary = Annotated[str, Within(pattern=r"^\w[\w .+-]*$"), Check(visible)]
"""No brackets, commas or invisible characters: it is part of the names of artefacts."""
SetName = Annotated[str, Within(pattern=r"^\w[\w.-]*$"), Check(visible)]
"""No `/` and no brackets, so that `training/NAME` and `stage[NAME]` are unambiguous."""


@dataclass(frozen=True)
class TrainingSet:
    """COCO-style annotations and their images; paths are relative to `data.root`.

    `limit`: use only the first images that have annotations, this many; 0 for all. Keys contain
    the content of the files, not their paths.
    """

    annotations: FilePath = free(...)
    images: FilePath = free(...)
    vocabulary: Vocabulary = free(...)
    limit: NonNegative = 0


@dataclass(frozen=True)
class EvaluationSet(TrainingSet):
    """As a training set, and the style in which it is evaluated."""

    style: Style = field(kw_only=True)


@dataclass(frozen=True)
class ToySet:
    """One split of the toy world; a scene depends only on split, seed and its number.

    Splits that end in `_new` name ten things with words that occur in no caption.
    """

    split: Literal["train_a", "train_b", "train_new", "val", "val_new", "dev", "dev_new"]
    vocabulary: str
    scenes: int
    seed: int
    style: Style = "lvis"


@dataclass(frozen=True)
class ToyData:
    """The embedded toy world, and further sets in folders; sizes are numbers of scenes.

    `train_sets` are those of its two training sets that are used. `dev_scenes` 0 omits `dev`.
    `new_scenes` > 0 adds the training set `new`, which names ten novel categories with words that
    occur in no caption, as `val` and `dev` then do.
    """

    kind: Literal["toy"]
    train_scenes: Positive
    val_scenes: Positive
    dev_scenes: NonNegative
    clip_scenes: Positive
    clip_test_scenes: Positive
    new_scenes: NonNegative = 0
    train_sets: tuple[Literal["a", "b"], ...] = free(("a", "b"))
    training: dict[SetName, TrainingSet] = field(default_factory=dict)
    evaluation: dict[SetName, EvaluationSet] = field(default_factory=dict)
    processes: NonNegative = free(0)
    root: FilePath = free("")


@dataclass(frozen=True)
class FolderData:
    """Datasets in folders.

    The order of `training` is the order of dataset ids. The first evaluation set is the main one.
    """

    kind: Literal["folder"]
    training: dict[SetName, TrainingSet]
    evaluation: dict[SetName, EvaluationSet]
    root: FilePath = free("")


Data = Annotated[ToyData | FolderData, Tagged("kind")]
