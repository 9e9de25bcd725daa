"""Learning-rate factors worked by hand."""

from __future__ import annotations

import pytest

from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.training.schedule import in_steps, rate_factor


def test_multistep_drops_at_its_milestones() -> None:
    schedule = ScheduleConfig(kind="multistep", milestones=(8, 11))
    factors = [rate_factor(schedule, step, 12) for step in (0, 7, 8, 10, 11)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])


def test_warm_up_is_linear_from_its_ratio() -> None:
    schedule = ScheduleConfig(kind="constant", warmup_steps=500, warmup_ratio=0.001)
    factors = [rate_factor(schedule, step, 1000) for step in (0, 250, 499, 500)]
    assert factors == pytest.approx([0.001, 0.5005, 0.998002, 1.0])


def test_cosine_halves_in_the_middle() -> None:
    schedule = ScheduleConfig(kind="cosine")
    factors = [rate_factor(schedule, step, 100) for step in (0, 50, 75)]
    assert factors == pytest.approx([1.0, 0.5, 0.5 * (1 - 0.5**0.5)])


def test_cosine_ends_at_its_floor() -> None:
    schedule = ScheduleConfig(kind="cosine", floor=0.05)
    factors = [rate_factor(schedule, step, 100) for step in (0, 50, 100)]
    assert factors == pytest.approx([1.0, 0.05 + 0.95 * 0.5, 0.05])


def test_a_cosine_in_stairs_holds_its_value() -> None:
    """Quarters of 100 steps: 1, then (1 + cos 45 degrees) / 2 from step 25 on."""
    schedule = ScheduleConfig(kind="cosine", every=25)
    factors = [rate_factor(schedule, step, 100) for step in (0, 24, 25, 49, 50)]
    assert factors == pytest.approx([1, 1, 0.853553, 0.853553, 0.5], rel=1e-5)


def test_warm_up_multiplies_the_schedule() -> None:
    schedule = ScheduleConfig(kind="multistep", milestones=(2,), warmup_steps=4, warmup_ratio=0.0)
    assert rate_factor(schedule, 2, 10) == pytest.approx(0.5 * 0.1)


def run(**length: int) -> TrainingConfig:
    return TrainingConfig(
        batch_size=16,
        optimizer=OptimizerConfig(kind="sgd", lr=0.02),
        schedule=ScheduleConfig(kind="multistep", warmup_steps=500, milestones=(8, 11)),
        **length,
    )


def test_epochs_become_steps_and_the_warm_up_stays() -> None:
    counted = in_steps(run(epochs=12), 100)
    assert (counted.steps, counted.epochs) == (1200, 0)
    assert counted.schedule.milestones == (800, 1100)
    assert counted.schedule.warmup_steps == 500
    assert counted.schedule.every == 100
    assert in_steps(run(steps=12), 100) == run(steps=12)


def test_a_run_has_one_length() -> None:
    for length in ({}, {"steps": 3, "epochs": 2}):
        with pytest.raises(ValueError, match="steps or of epochs, one of them"):
            run(**length)
