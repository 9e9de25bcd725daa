"""The moving average, worked by hand."""

from __future__ import annotations

import math

import jittor as jt
import numpy as np
import pytest
from jittor import nn

from unidet.training.average import WeightAverage


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = jt.array([1.0])


def test_the_decay_rises_to_its_value() -> None:
    """decay 0.5 over 2 steps: 0.5 (1 - e^-1/2) then 0.5 (1 - e^-1)."""
    model = One()
    average = WeightAverage(model, 0.5, warmup=2)
    expected = 1.0
    for step, weight in enumerate((3.0, 5.0)):
        model.weight.update(jt.array([weight]))
        average.update(step)
        decay = 0.5 * (1 - math.exp(-(step + 1) / 2))
        expected = decay * expected + (1 - decay) * weight
    assert average.state()["weight"].item() == pytest.approx(expected, rel=1e-6)


def test_official_decays() -> None:
    """RT-DETR, decay 0.9999 over 2000 steps: 0.632 at step 2000, 0.993 at step 10000."""
    for step, decay in ((1999, 0.632), (9999, 0.993)):
        model = One()
        average = WeightAverage(model, 0.9999, warmup=2000)
        model.weight.update(jt.array([0.0]))
        average.update(step)
        np.testing.assert_allclose(average.state()["weight"], [decay], atol=5e-4)
