"""The schema of `conf/finetune/`: new names that a finished study learns later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unidet.config.data import SetName, Vocabulary
from unidet.config.fields import NonNegative, Tagged, Weight, free
from unidet.config.training import TrainingConfig


@dataclass(frozen=True)
class AbsentFineTuning:
    """Nothing is learned later."""

    kind: Literal["none"]


@dataclass(frozen=True)
class Rehearsal:
    """The RoI head of stage `roi` learns new names and keeps the old ones (docs/fine-tuning.md).

    `sets`: those of `data.training` that are new; no other stage trains on them. `keep`: the
    vocabularies whose names are kept, those of the other training sets where none is named.
    `learns`: embeddings of the new names alone, or what lies behind RoIAlign as well. `images`: old
    images of each training set that are stored as feature maps. Weights of losses, 0 for none:
    `rehearsal` of old names on old images, `negatives` that no old region has a new name,
    `distillation` of old names on the new images, `pull` toward the start. `plain` trains a second
    network on the new images and nothing else, to compare with.
    """

    kind: Literal["rehearsal"]
    learns: Literal["names", "head"]
    training: TrainingConfig
    images: NonNegative
    rehearsal: Weight
    negatives: Weight
    distillation: Weight
    pull: Weight
    sets: tuple[SetName, ...] = free(())
    keep: tuple[Vocabulary, ...] = free(())
    plain: bool = free(True)


Finetune = Annotated[AbsentFineTuning | Rehearsal, Tagged("kind")]
