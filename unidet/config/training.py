"""Schema of a training run: optimizer, schedule, length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from unidet.config.fields import (
    Expression,
    Fraction,
    NonNegative,
    Positive,
    Rate,
    Weight,
    Within,
    free,
)

Precision = Literal["float32", "float16", "bfloat16"]


@dataclass(frozen=True)
class OptimizerConfig:
    """`groups` maps part of a parameter's name to a factor on the learning rate.

    `no_decay` are regular expressions; parameters with a match anywhere in their name have no
    weight decay. `clip_norm` is the maximum norm of the gradients; 0 for none.
    """

    kind: Literal["sgd", "adamw"]
    lr: Rate
    weight_decay: Weight = 0.0
    momentum: Fraction = 0.9
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    groups: dict[str, Rate] = field(default_factory=dict)
    no_decay: tuple[Expression, ...] = ()
    clip_norm: Weight = 0.0


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear warm-up, then steps down at `milestones`, or a cosine decay to `floor`.

    `milestones` and `every`, the length of each constant step of the cosine, are in the unit of the
    run's length: steps or epochs. `floor` and `warmup_ratio` are fractions of the learning rate.
    """

    kind: Literal["multistep", "cosine", "constant"]
    warmup_steps: NonNegative = 0
    warmup_ratio: Fraction = 0.001
    milestones: tuple[Positive, ...] = ()
    gamma: Fraction = 0.1
    floor: Fraction = 0.0
    every: Positive = 1


@dataclass(frozen=True)
class SamplerConfig:
    """Which images an epoch contains.

    "concatenation" (official): each image of all training datasets once. "repeat_factor": in each
    dataset, images with a category that occurs in less than `threshold` of its images are repeated,
    by LVIS's repeat factors. "balanced": each dataset contributes as many images as the largest.
    """

    kind: Literal["concatenation", "repeat_factor", "balanced"] = "concatenation"
    threshold: Annotated[float, Within(gt=0, le=1)] = 0.001


@dataclass(frozen=True)
class TrainingConfig:
    """One training run, with a length in `steps` or in `epochs` of the training images.

    An epoch is a whole number of steps: an aspect group that the batch size does not divide is
    filled up. `ema_decay` is the decay of the weights' exponential moving average (EMA), 0 for
    none. The decay rises to it over about `ema_warmup` steps, counted from `ema_offset`.
    """

    batch_size: Positive
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    steps: NonNegative = 0
    epochs: NonNegative = 0
    accumulate: Positive = 1
    ema_decay: Fraction = 0.0
    ema_warmup: Positive = 2000
    ema_offset: NonNegative = 0
    checkpoint_every: Positive = free(200)
    loader_threads: Positive = free(2)

    def __post_init__(self) -> None:
        if bool(self.steps) == bool(self.epochs):
            raise ValueError("give a number of steps or of epochs, one of them")
