"""The EMA, worked by hand."""

from __future__ import annotations

import math

import jittor as jt
import pytest
from jittor import nn

from unidet.training.ema import WeightEMA


class One(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = jt.array([1.0])


def test_the_decay_rises_to_its_value() -> None:
    """decay 0.5 over 2 steps: 0.5 (1 - e^-1/2) then 0.5 (1 - e^-1)."""
    model = One()
    ema = WeightEMA(model, 0.5, warmup=2)
    expected = 1.0
    for step, weight in enumerate((3.0, 5.0)):
        model.weight.update(jt.array([weight]))
        ema.update(step)
        decay = 0.5 * (1 - math.exp(-(step + 1) / 2))
        expected = decay * expected + (1 - decay) * weight
    assert ema.state()["weight"].item() == pytest.approx(expected, rel=1e-6)


def decay_at(update: int, decay: float, offset: int) -> float:
    """What is left of a 1 when the `update`-th weights (from 1) are 0."""
    model = One()
    ema = WeightEMA(model, decay, 2000, offset)
    model.weight.update(jt.array([0.0]))
    ema.update(update - 1)
    return ema.state()["weight"].item()


def test_decays_of_rtdetr() -> None:
    """0.9999 (1 - e^(-n / 2000)) at updates 1, 2,000 and 10,000: 0.0005, 0.632, 0.993."""
    decays = [decay_at(update, 0.9999, 0) for update in (1, 2000, 10000)]
    assert decays == pytest.approx([0.9999 * 4.99875e-4, 0.632057, 0.993163], rel=1e-4)


def test_decays_of_nanodet_plus() -> None:
    """The new weights count 0.9998 e^(-(n + 1) / 2000) + 0.0002: 0.999 at the first update, 0.778,
    0.368 and 0.0069 at updates 500, 2,000 and 10,000."""
    decays = [1 - decay_at(update, 0.9998, 1) for update in (1, 500, 2000, 10000)]
    worked = [0.9998 * math.exp(-n / 2000) + 0.0002 for n in (2, 501, 2001, 10001)]
    assert decays == pytest.approx(worked, rel=1e-4)
    assert worked == pytest.approx([0.999, 0.778, 0.368, 0.0069], abs=4.9e-4)
