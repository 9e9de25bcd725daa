"""The contrastive loss by hand."""

from __future__ import annotations

from math import exp, log

import jittor as jt
import numpy as np
import pytest

from unidet.models.clip.contrastive import ContrastiveLoss

# Cosines [[0.6, 0.8], [0, 1]].
IMAGES = np.array([[3, 4], [0, 2]], np.float32)
TEXTS = np.array([[1, 0], [0, 5]], np.float32)
SCALE = 2.0


def loss(module: ContrastiveLoss, compatible: list | None = None) -> float:
    mask = None if compatible is None else np.array(compatible)
    return module(jt.array(IMAGES), jt.array(TEXTS), mask).item()


def test_both_directions() -> None:
    rows = [log(1 + exp(SCALE * 0.2)), log(1 + exp(-SCALE * 1.0))]
    columns = [log(1 + exp(-SCALE * 0.6)), log(1 + exp(-SCALE * 0.2))]
    assert loss(ContrastiveLoss(SCALE)) == pytest.approx((sum(rows) + sum(columns)) / 4, rel=1e-5)


def test_compatible_captions_are_no_negatives() -> None:
    # Caption 1 also describes image 0: row 0 and column 1 have no negative left and cost nothing.
    expected = (log(1 + exp(-SCALE * 1.0)) + log(1 + exp(-SCALE * 0.6))) / 4
    module = ContrastiveLoss(SCALE)
    assert loss(module, [[False, True], [False, False]]) == pytest.approx(expected, rel=1e-5)
    assert loss(module, [[True, True], [False, True]]) == pytest.approx(expected, rel=1e-5)
    assert loss(module, [[True, True], [True, True]]) == pytest.approx(0, abs=1e-6)


def test_the_scale_is_held_at_100_and_can_come_back() -> None:
    module = ContrastiveLoss(5000.0)
    assert loss(module) == pytest.approx(loss(ContrastiveLoss(100.0)), rel=1e-5)
    value = module(jt.array(IMAGES), jt.array(TEXTS))
    assert jt.grad(value, module.logit_scale).item() > 0


def test_gradients_reach_both_sides() -> None:
    images, texts = jt.array(IMAGES), jt.array(TEXTS)
    for gradient in jt.grad(ContrastiveLoss(SCALE)(images, texts), [images, texts]):
        assert np.abs(gradient.numpy()).max() > 1e-3
