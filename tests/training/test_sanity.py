"""Runs that learn nothing are stopped early, with the reason."""

from __future__ import annotations

import itertools
from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from jittor import nn

from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.errors import UserError
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.sampling import BatchRandom
from unidet.training.loop import train
from unidet.training.sanity import PATIENCE, SETTLED, Sanity
from unidet.training.step import LossOf


class Quiet:
    """Progress that shows nothing."""

    def update(self, done: int, total: int, note: str = "") -> None: ...


def test_a_healthy_step_passes() -> None:
    Sanity(nn.Linear(2, 2)).check(0, {"loss": 1.0, "positives": 3.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops(value: float) -> None:
    with pytest.raises(UserError, match="loss_box is"):
        Sanity(nn.Linear(2, 2)).check(4, {"loss": 1.0, "loss_box": value})


def train_a_step(
    folder: Path, model: nn.Linear, loss_of: LossOf, inputs: np.ndarray, rate: float
) -> None:
    """One step of gradient descent."""
    settings = TrainingConfig(
        steps=1,
        batch_size=1,
        optimizer=OptimizerConfig(kind="sgd", lr=rate),
        schedule=ScheduleConfig(kind="constant"),
    )
    batches = itertools.repeat(inputs)
    train(model, loss_of, lambda start: batches, settings, seed=0, folder=folder, progress=Quiet())


def test_weights_that_are_not_finite_are_no_result(tmp_path: Path) -> None:
    """A gradient of -4e4 times a rate of 1e38 is beyond float32; no loss comes after it."""
    model = nn.Linear(2, 1, bias=False)

    def loss_of(inputs: np.ndarray, random: BatchRandom) -> Losses:
        return {"loss_square": LossTerm(((model(jt.array(inputs)) - 100) ** 2).mean(), 1.0)}

    with pytest.raises(UserError, match="at step 1: 1 weights are not finite, first weight; lower"):
        train_a_step(tmp_path, model, loss_of, np.full((1, 2), 200, np.float32), rate=1e38)


def test_a_loss_that_overflows_in_numpy_is_one_line(tmp_path: Path) -> None:
    """Its warnings, which are errors here, would come before, with lines of the source."""
    model = nn.Linear(2, 1, bias=False)

    def loss_of(inputs: np.ndarray, random: BatchRandom) -> Losses:
        beyond = np.exp(inputs * 200)
        return {"loss_exp": LossTerm((model(jt.array(inputs)) * beyond[0, 0]).sum(), 1.0)}

    with pytest.raises(UserError, match="at step 0: it has diverged, loss is"):
        train_a_step(tmp_path, model, loss_of, np.ones((1, 2), np.float32), rate=0.1)


def test_a_loss_of_exactly_zero_stops() -> None:
    with pytest.raises(UserError, match="exactly 0"):
        Sanity(nn.Linear(2, 2)).check(0, {"loss": 0.0})


def test_many_steps_without_a_positive_stop() -> None:
    sanity = Sanity(nn.Linear(2, 2))
    for step in range(PATIENCE - 1):
        sanity.check(step + 100, {"loss": 1.0, "positives": 0.0})
    with pytest.raises(UserError, match="no positive sample"):
        sanity.check(200, {"loss": 1.0, "positives": 0.0})


def test_one_positive_resets_the_count() -> None:
    sanity = Sanity(nn.Linear(2, 2))
    for step in range(3 * PATIENCE):
        sanity.check(step + 100, {"loss": 1.0, "positives": float(step % 10 == 0)})


def test_a_weight_that_never_moves_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    sanity = Sanity(model)
    moved = model[0].weight
    moved.update(moved + 1)
    with pytest.raises(UserError, match=r"1\.weight"):
        sanity.check(SETTLED, {"loss": 1.0})


def test_moved_and_frozen_weights_pass() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight.stop_grad()
    sanity = Sanity(model)
    model[0].weight.update(jt.array(np.eye(2, dtype=np.float32) * 9))
    sanity.check(SETTLED, {"loss": 1.0})
