"""Losses against PyTorch's recorded values and gradients, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops import losses

TORCH = dict(np.load(Path(__file__).with_name("torch_values.npz")))
Loss = Callable[[jt.Var], jt.Var]


def check(name: str, leaf: str, loss: Loss) -> None:
    variable = jt.array(TORCH[leaf])
    value = loss(variable)
    assert_allclose(value.item(), TORCH[name], rtol=1e-5)
    gradient = jt.grad(value, variable).numpy()
    assert_allclose(gradient, TORCH[f"{name}/grad0"], rtol=1e-4, atol=1e-6)


def test_binary_cross_entropy_matches_torch_also_at_logit_zero() -> None:
    targets, weights = TORCH["targets"], TORCH["weights"]
    check(
        "binary_cross_entropy",
        "logits",
        lambda x: losses.binary_cross_entropy(x, targets, weights) / 3,
    )


def test_cross_entropy_matches_torch() -> None:
    labels, weights = TORCH["labels"], TORCH["weights"][:, 0]
    check("cross_entropy", "logits", lambda x: losses.cross_entropy(x, labels, weights) / 3)


def test_quality_focal_loss_matches_torch() -> None:
    targets, weights = TORCH["targets"], TORCH["weights"]
    check("quality_focal", "logits", lambda x: losses.quality_focal_loss(x, targets, weights) / 3)
    check(
        "quality_focal_1.5",
        "logits",
        lambda x: losses.quality_focal_loss(x, targets, weights, beta=1.5) / 3,
    )


def test_varifocal_loss_by_hand() -> None:
    """Sigmoids 0.5 and 0.75. Positive of quality 0.6: 0.6 ln 2. Negative: 0.75 * 0.75^2 * ln 4."""
    logits = jt.array(np.array([[0, np.log(3)]], np.float32))
    qualities, positive = np.array([[0.6, 0]], np.float32), np.array([[1, 0]], np.float32)
    loss = losses.varifocal_loss(logits, qualities, positive) / 2
    assert loss.item() == pytest.approx((0.6 * np.log(2) + 0.421875 * np.log(4)) / 2, rel=1e-6)
    gradient = jt.grad(loss, logits).numpy()
    expected = [[0.6 * (0.5 - 0.6) / 2, 0.421875 * 0.75 / 2]]
    assert_allclose(gradient, expected, rtol=1e-5)


def test_l1_matches_torch() -> None:
    targets, weights = TORCH["targets"], TORCH["weights"]
    check("l1", "logits", lambda x: losses.l1_loss(x, targets, weights) / 3)


def test_box_losses_match_torch() -> None:
    others, weights = TORCH["others"], TORCH["box_weights"]
    check("iou", "boxes", lambda x: losses.iou_loss(x, others, weights) / 4)
    check("giou", "boxes", lambda x: losses.giou_loss(x, others, weights) / 4)


def test_box_losses_by_hand() -> None:
    """Two unit squares one apart: IoU 0, hull 3, union 2, so GIoU = -1/3."""
    boxes, others = jt.array([[0.0, 0, 1, 1]]), np.array([[2, 0, 3, 1]], np.float32)
    assert losses.giou_loss(boxes, others).item() == pytest.approx(4 / 3)
    assert losses.iou_loss(boxes, others).item() == pytest.approx(1 - 1e-6)


EMPTY = np.zeros((0, 4), np.float32)
NO_LABELS = np.zeros(0, np.int64)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.binary_cross_entropy(x, EMPTY),
        lambda x: losses.quality_focal_loss(x, EMPTY, EMPTY),
        lambda x: losses.cross_entropy(x, NO_LABELS, NO_LABELS),
        lambda x: losses.l1_loss(x, EMPTY),
        lambda x: losses.iou_loss(x, EMPTY, NO_LABELS),
        lambda x: losses.giou_loss(x, EMPTY),
    ],
)
def test_no_rows_give_zero_and_zero_gradient(loss: Loss) -> None:
    weight = jt.ones((3, 4))
    value = loss(jt.zeros((0, 3)) @ weight)
    assert value.shape == [1]
    assert value.item() == 0
    assert_array_equal(jt.grad(value, weight).numpy(), np.zeros((3, 4)))


def test_one_row() -> None:
    value = losses.cross_entropy(jt.zeros((1, 2)), np.array([1]))
    assert value.item() == pytest.approx(np.log(2), rel=1e-6)


def test_labels_out_of_range_are_refused() -> None:
    for label in (-1, 2):
        with pytest.raises(ValueError, match=r"must be in 0 \.\. 1"):
            losses.cross_entropy(jt.zeros((1, 2)), np.array([label]))


def test_not_a_number_stays_visible() -> None:
    logits = jt.array(np.array([[np.nan, 0]], np.float32))
    assert np.isnan(losses.binary_cross_entropy(logits, np.zeros((1, 2))).item())
    assert np.isnan(losses.cross_entropy(logits, np.array([1])).item())


def test_targets_stay_constants_without_losing_their_own_gradient() -> None:
    """Jittor's stop_grad acts in place: used on a target it would silence every other use of it."""
    source = jt.array(np.array([[0.25, 0.5]], np.float32))
    target = source * 1.0
    for loss in (losses.binary_cross_entropy, losses.quality_focal_loss):
        value = loss(jt.zeros((1, 2)), target) + (target * target).sum()
        assert_allclose(jt.grad(value, source).numpy(), [[0.5, 1]], rtol=1e-6)
