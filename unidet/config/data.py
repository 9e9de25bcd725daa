"""The schema of `conf/data/`, and the datasets of a study by their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unidet.config.fields import FilePath, NonNegative, Positive, Tagged, Within, free

Style = Literal["lvis", "coco"]
Vocabulary = Annotated[str, Within(pattern=r"^\w[\w .+-]*$")]
"""No brackets, commas or signs that no terminal shows: it names artefacts."""
SetName = Annotated[str, Within(pattern=r"^\w[\w.-]*$")]
"""Neither `/` nor brackets: `training/NAME` and `stage[NAME]` must stay unambiguous."""


@dataclass(frozen=True)
class TrainingSet:
    """COCO-style annotations and their images, both relative to `data.root`.

    `limit`: only the first so many images that have annotations; 0 for all. Both paths enter a key
    by the content that lies there.
    """

    annotations: FilePath = free(...)
    images: FilePath = free(...)
    vocabulary: Vocabulary = free(...)
    limit: NonNegative = 0


@dataclass(frozen=True)
class EvaluationSet(TrainingSet):
    """As a training set, with the style in which it is evaluated."""

    style: Style = field(kw_only=True)


@dataclass(frozen=True)
class ToySet:
    """One split of the toy world; a scene depends on split, seed and its number alone.

    Those that end in `_new` call ten things by words that no caption has.
    """

    split: Literal["train_a", "train_b", "train_new", "val", "val_new", "dev", "dev_new"]
    vocabulary: str
    scenes: int
    seed: int
    style: Style = "lvis"


@dataclass(frozen=True)
class ToyData:
    """The embedded toy world, and sets in folders beside it; sizes count scenes.

    `train_sets` are those of its two that are there. `dev_scenes` 0 leaves `dev` out.
    `new_scenes` above 0 adds the training set `new`: ten novel names called by words that no
    caption has, here and in `val` and `dev`.
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
    """Datasets in folders; `training` in the order of dataset ids, the first evaluation set is
    the main one."""

    kind: Literal["folder"]
    training: dict[SetName, TrainingSet]
    evaluation: dict[SetName, EvaluationSet]
    root: FilePath = free("")


Data = Annotated[ToyData | FolderData, Tagged("kind")]
