"""Schema of `conf/finetune/`: names that a finished study learns later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from unidet.config.data import SetName, Vocabulary
from unidet.config.fields import NonNegative, Tagged, Weight, free
from unidet.config.training import TrainingConfig


@dataclass(frozen=True)
class AbsentFineTuning:
    """No fine-tuning."""

    kind: Literal["none"]


@dataclass(frozen=True)
class Rehearsal:
    """The RoI head of stage `roi` learns new names and keeps the old ones (docs/fine-tuning.md).

    `sets`: the new sets of `data.training`; no other stage trains on them. `keep`: vocabularies of
    the names to keep; empty for those of the other training sets. `learns`: the embeddings of the
    new names ("names"), or also the layers after RoIAlign ("head"). `images`: number of old images
    of each training set whose feature maps are stored. Weights of losses, 0 for none: `rehearsal`
    (old names on old images), `negatives` (old regions have no new name), `distillation` (old names
    on the new images), `pull` (distance from the initial weights). `plain` also trains a network on
    the new images only, for comparison.
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
