"""The schema of a training run: images, optimizer, schedule."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from unidet.config.fields import (
    SCHEMA,
    Expression,
    Fraction,
    NonNegative,
    Positive,
    Rate,
    Triple,
    Weight,
    free,
)


@dataclass(frozen=True, config=SCHEMA)
class KeepRatioImages:
    """How images reach a network: mmdet's keep-ratio Resize, flips, normalisation, padding.

    `mean` and `std` are of 8-bit values, in the order of `channels`.
    """

    kind: Literal["keep_ratio"]
    short_side: tuple[Positive, Positive]
    long_side: Positive
    test_short_side: Positive
    test_long_side: Positive
    mean: Triple
    std: Triple
    channels: Literal["rgb", "bgr"] = "rgb"
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32


@dataclass(frozen=True, config=SCHEMA)
class AugmentationConfig:
    """Ranges that training images draw from; explained in `data.augmentation.Augmentation`."""

    scale: tuple[Rate, Rate] = (1.0, 1.0)
    stretch: tuple[Rate, Rate] = (1.0, 1.0)
    centre: tuple[Fraction, Fraction] = (0.5, 0.5)
    brightness: Fraction = 0.0
    contrast: tuple[Rate, Rate] = (1.0, 1.0)
    saturation: tuple[Weight, Weight] = (1.0, 1.0)


@dataclass(frozen=True, config=SCHEMA)
class StretchedImages:
    """Images stretched to a square; a training batch draws its side from `sides`."""

    kind: Literal["stretch"]
    sides: tuple[Positive, ...]
    test_side: Positive
    mean: Triple
    std: Triple
    channels: Literal["rgb", "bgr"] = "rgb"
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32
    augmentation: AugmentationConfig | None = None


ImageConfig = Annotated[KeepRatioImages | StretchedImages, Field(discriminator="kind")]


@dataclass(frozen=True, config=SCHEMA)
class OptimizerConfig:
    """`groups` maps a part of a parameter's name to a factor on the learning rate.

    `no_decay` are regular expressions; a parameter whose name one of them is found in is not
    decayed.
    """

    kind: Literal["sgd", "adamw"]
    lr: Rate
    weight_decay: Weight = 0.0
    momentum: Fraction = 0.9
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    groups: dict[str, Rate] = field(default_factory=dict)
    no_decay: tuple[Expression, ...] = ()
    clip_norm: Weight = 0.0


@dataclass(frozen=True, config=SCHEMA)
class ScheduleConfig:
    """Linear warm-up, then steps down at `milestones` or a cosine to `floor`.

    `milestones` are counted as the run's length is, in steps or in epochs; so is `every`, how long
    the cosine holds a value. `floor` and `warmup_ratio` are fractions of the learning rate.
    """

    kind: Literal["multistep", "cosine", "constant"]
    warmup_steps: NonNegative = 0
    warmup_ratio: Fraction = 0.001
    milestones: tuple[Positive, ...] = ()
    gamma: Fraction = 0.1
    floor: Fraction = 0.0
    every: Positive = 1


@dataclass(frozen=True, config=SCHEMA)
class TrainingConfig:
    """One training run.

    Its length is `steps`, or `epochs` of the training images (an aspect group that the batch does
    not divide is filled up, so that an epoch is a whole number of steps).
    `average` is the decay of the weights' moving average, 0 for none; it rises to that over some
    `average_warmup` steps, as if `average_offset` of them lay behind it.
    """

    batch_size: Positive
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    steps: NonNegative = 0
    epochs: NonNegative = 0
    average: Fraction = 0.0
    accumulate: Positive = 1
    average_warmup: Positive = 2000
    average_offset: NonNegative = 0
    checkpoint_every: Positive = free(200)
    log_every: Positive = free(10)
    loader_threads: Positive = free(2)

    @model_validator(mode="after")
    def _has_one_length(self) -> TrainingConfig:
        if bool(self.steps) == bool(self.epochs):
            raise ValueError("give a number of steps or of epochs, one of them")
        return self
