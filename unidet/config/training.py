"""The schema of a training run: images, optimizer, schedule."""

from __future__ import annotations

from dataclasses import field
from typing import Literal

from pydantic.dataclasses import dataclass

from unidet.config.fields import SCHEMA, Fraction, NonNegative, Positive, Rate, Triple, Weight, free


@dataclass(frozen=True, config=SCHEMA)
class ImageConfig:
    """How images reach a network: mmdet's keep-ratio Resize, flips, normalisation, padding."""

    short_side: tuple[Positive, Positive]
    long_side: Positive
    test_short_side: Positive
    test_long_side: Positive
    mean: Triple
    std: Triple
    horizontal_flip: Fraction = 0.5
    vertical_flip: Fraction = 0.0
    divisor: Positive = 32


@dataclass(frozen=True, config=SCHEMA)
class OptimizerConfig:
    """`groups` maps a part of a parameter's name to a factor on the learning rate."""

    kind: Literal["sgd", "adamw"]
    lr: Rate
    weight_decay: Weight = 0.0
    momentum: Fraction = 0.9
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    groups: dict[str, Rate] = field(default_factory=dict)
    clip_norm: Weight = 0.0


@dataclass(frozen=True, config=SCHEMA)
class ScheduleConfig:
    """Linear warm-up, then steps down at `milestones` (in steps) or a cosine to zero."""

    kind: Literal["multistep", "cosine", "constant"]
    warmup_steps: NonNegative = 0
    warmup_ratio: Fraction = 0.001
    milestones: tuple[Positive, ...] = ()
    gamma: Fraction = 0.1


@dataclass(frozen=True, config=SCHEMA)
class TrainingConfig:
    """One training run. `average` is the decay of the weights' moving average, 0 for none."""

    steps: Positive
    batch_size: Positive
    optimizer: OptimizerConfig
    schedule: ScheduleConfig
    average: Fraction = 0.0
    checkpoint_every: Positive = free(200)
    log_every: Positive = free(10)
    loader_threads: Positive = free(2)
