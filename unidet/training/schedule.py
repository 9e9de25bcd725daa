"""Learning-rate schedules as pure functions of the step, so that resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import replace

from unidet.config.training import ScheduleConfig, TrainingConfig


def in_steps(settings: TrainingConfig, steps_per_epoch: int) -> TrainingConfig:
    """The same run with its length, its milestones and its cosine's stairs in steps."""
    if settings.steps:
        return settings
    schedule = settings.schedule
    milestones = tuple(epoch * steps_per_epoch for epoch in schedule.milestones)
    return replace(
        settings,
        steps=settings.epochs * steps_per_epoch,
        epochs=0,
        schedule=replace(schedule, milestones=milestones, every=schedule.every * steps_per_epoch),
    )


def rate_factor(schedule: ScheduleConfig, step: int, steps: int) -> float:
    """Factor on the base learning rate at `step` (0-based) of `steps`.

    Warm-up is mmcv's linear one: the factor rises from `warmup_ratio` to 1 over `warmup_steps`,
    multiplied onto the schedule's own value (mmcv runner/hooks/lr_updater.py).
    """
    factor = 1.0
    if schedule.kind == "multistep":
        factor = schedule.gamma ** sum(step >= milestone for milestone in schedule.milestones)
    elif schedule.kind == "cosine":
        reached = step - step % schedule.every
        half = 0.5 * (1 + math.cos(math.pi * reached / steps))
        factor = schedule.floor + (1 - schedule.floor) * half
    if step < schedule.warmup_steps:
        factor *= 1 - (1 - step / schedule.warmup_steps) * (1 - schedule.warmup_ratio)
    return factor
