"""The schema of `conf/finetune/`: new names that a finished study learns later."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from unidet.config.data import SetName, Vocabulary
from unidet.config.fields import SCHEMA, NonNegative, Weight, free
from unidet.config.training import TrainingConfig


@dataclass(frozen=True, config=SCHEMA)
class AbsentFineTuning:
    """Nothing is learned later."""

    kind: Literal["none"]


@dataclass(frozen=True, config=SCHEMA)
class Rehearsal:
    """The RoI head of stage `roi` learns new names and keeps the old ones (docs/fine-tuning.md).

    `sets`: those of `data.training` that are new; no other stage trains on them. `keep`: the
    vocabularies whose names are kept, those of the other training sets where none is named.
    `images`: old images of each training set that are stored as feature maps, for `rehearsal`.
    `rehearsal`, `distillation` and `pull` weigh the losses that keep the old names; 0 leaves one
    out.
    """

    kind: Literal["rehearsal"]
    training: TrainingConfig
    images: NonNegative
    rehearsal: Weight
    distillation: Weight
    pull: Weight
    sets: tuple[SetName, ...] = free(())
    keep: tuple[Vocabulary, ...] = free(())


Finetune = Annotated[AbsentFineTuning | Rehearsal, Field(discriminator="kind")]
