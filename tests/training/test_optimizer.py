"""Groups of the optimizer, worked by hand."""

from __future__ import annotations

import jittor as jt
import pytest
from jittor import nn

from unidet.config.training import OptimizerConfig
from unidet.training.optimizer import Optimizer, clip


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = jt.array([2.0])
        self.norm_weight = jt.array([2.0])


def test_names_of_no_decay_have_no_weight_decay() -> None:
    """AdamW's first step moves by lr against the gradient's sign, after p * (1 - lr * decay)."""
    model = Two()
    settings = OptimizerConfig(kind="adamw", lr=0.1, weight_decay=0.5, no_decay=("^norm",))
    optimizer = Optimizer(model, settings)
    optimizer.add((model.weight + model.norm_weight).sum())
    optimizer.step(1.0)
    assert model.weight.item() == pytest.approx(2.0 * (1 - 0.05) - 0.1, rel=1e-5)
    assert model.norm_weight.item() == pytest.approx(2.0 - 0.1, rel=1e-5)


def test_a_group_scales_the_rate() -> None:
    model = Two()
    settings = OptimizerConfig(kind="sgd", lr=0.1, momentum=0.0, groups={"norm": 0.5})
    optimizer = Optimizer(model, settings)
    optimizer.add((model.weight + model.norm_weight).sum())
    optimizer.step(1.0)
    assert model.weight.item() == pytest.approx(1.9)
    assert model.norm_weight.item() == pytest.approx(1.95)


def test_gradients_are_clipped_together() -> None:
    """Their joint norm is 5 by hand; one that is small enough stays as it is."""
    gradients = [jt.array([[3.0], [0.0]]), jt.array([4.0])]
    clip(gradients, 10.0)
    assert [grad.numpy().ravel().tolist() for grad in gradients] == [[3, 0], [4]]
    clip(gradients, 1.0)
    assert gradients[0].numpy().ravel() == pytest.approx([0.6, 0], rel=1e-5)
    assert gradients[1].item() == pytest.approx(0.8, rel=1e-5)


def test_the_norm_of_many_gradients_is_right() -> None:
    """2 ** 25 ones, of which a float32 sum of one after another counts half."""
    gradients = [jt.ones((2**12, 2**13))]
    clip(gradients, 1.0)
    assert gradients[0][0, 0].item() == pytest.approx(2**-12.5, rel=1e-4)
