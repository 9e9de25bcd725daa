"""The schema of `conf/data/`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from unidet.config.fields import SCHEMA, NonNegative, Positive, free


@dataclass(frozen=True, config=SCHEMA)
class ToyData:
    """The embedded toy world; sizes count scenes."""

    kind: Literal["toy"]
    train_scenes: Positive
    val_scenes: Positive
    dev_scenes: Positive
    clip_scenes: Positive
    clip_test_scenes: Positive
    processes: NonNegative = free(0)
    root: str = free("")


@dataclass(frozen=True, config=SCHEMA)
class TrainingSet:
    """COCO-style annotations and their images, both relative to `data.root`.

    `limit`: only the first so many images that have annotations; 0 for all.
    """

    annotations: str
    images: str
    vocabulary: str
    limit: NonNegative = 0


@dataclass(frozen=True, config=SCHEMA)
class EvaluationSet:
    """As a training set, with the style in which it is judged."""

    annotations: str
    images: str
    vocabulary: str
    style: Literal["lvis", "coco"]
    limit: NonNegative = 0


@dataclass(frozen=True, config=SCHEMA)
class FolderData:
    """Datasets in folders; `training` in the order of dataset ids, the first evaluation is main."""

    kind: Literal["folder"]
    training: dict[str, TrainingSet]
    evaluation: dict[str, EvaluationSet]
    root: str = free("")


Data = Annotated[ToyData | FolderData, Field(discriminator="kind")]
