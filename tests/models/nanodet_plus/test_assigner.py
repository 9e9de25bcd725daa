"""The dynamic soft label assigner on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.models.nanodet_plus.assigner import assign, class_cost, dynamic_counts
from unidet.models.nanodet_plus.predictions import grid_priors

POINTS = np.array([[8, 8], [16, 8], [40, 40]], np.float32)
BOX = np.array([[0, 0, 20, 20]], np.float32)
NO_BOXES = np.zeros((0, 4), np.float32)
FLAT = np.zeros((3, 2), np.float32)


def test_priors_of_fractional_levels() -> None:
    priors = grid_priors(((1, 2), (1, 1)), (8, 16))
    np.testing.assert_array_equal(priors, [[0, 0, 8, 8], [8, 0, 8, 8], [0, 0, 16, 16]])


def test_one_box_takes_its_cheapest_prior() -> None:
    """IoUs 0.5 and 1 sum to 1.5: one prior, that of IoU 1."""
    decoded = np.array([[0, 0, 20, 10], [0, 0, 20, 20], [0, 0, 20, 20]], np.float32)
    assignment = assign(FLAT, decoded, POINTS, BOX, np.array([1]))
    assert assignment.valid.tolist() == [0, 1]  # the third prior lies outside
    assert assignment.counts.tolist() == [1]
    assert assignment.positives.tolist() == [1]
    assert assignment.matched.tolist() == [0]
    np.testing.assert_allclose(assignment.soft_labels, [1], rtol=1e-6)
    np.testing.assert_allclose(assignment.iou[:, 0], [0.5, 1], rtol=1e-6)
    # at logit 0: ln 2 / 4 for the other class; for its own ln 2 * |t - 1/2|^2; 3 * -ln(t)
    ln2 = np.log(2)
    np.testing.assert_allclose(assignment.cost[:, 0], [ln2 / 4 + 3 * ln2, ln2 / 2], rtol=1e-5)


def test_a_border_is_not_inside() -> None:
    on_border = np.array([[8, 8, 20, 20]], np.float32)
    assignment = assign(FLAT, np.tile(on_border, (3, 1)), POINTS, on_border, np.array([0]))
    assert assignment.valid.tolist() == []
    assert assignment.positives.tolist() == []


def test_no_boxes_make_everything_background() -> None:
    assignment = assign(FLAT, np.tile(BOX, (3, 1)), POINTS, NO_BOXES, np.zeros(0, np.int64))
    assert len(assignment.positives) == len(assignment.matched) == len(assignment.soft_labels) == 0


def test_a_disputed_prior_goes_to_the_box_it_costs_least_among_all() -> None:
    """Both boxes want prior 1; a box that then has none left stays without."""
    boxes = np.array([[0, 0, 20, 20], [0, 0, 20, 16]], np.float32)
    decoded = np.array([[0, 0, 2, 2], [0, 0, 20, 19], [0, 0, 20, 20]], np.float32)
    assignment = assign(FLAT, decoded, POINTS, boxes, np.array([0, 0]))
    assert assignment.counts.tolist() == [1, 1]
    assert assignment.positives.tolist() == [1]
    assert assignment.matched.tolist() == [0]


def test_a_degenerate_box_wants_a_prior_too() -> None:
    """Its IoU is 0 with all, so it wants the prior that believes least in its class: prior 1."""
    boxes = np.array([[0, 0, 20, 20], [4, 4, 4, 30]], np.float32)
    decoded = np.tile(BOX, (3, 1))
    logits = np.array([[0, 2], [0, -9], [0, 0]], np.float32)
    assignment = assign(logits, decoded, POINTS, boxes, np.array([0, 1]))
    assert assignment.counts.tolist() == [2, 1]
    assert assignment.cost[1, 1] < assignment.cost[0, 1]
    # but prior 1 costs less still for the first box
    assert assignment.positives.tolist() == [0, 1]
    assert assignment.matched.tolist() == [0, 0]


def test_counts_are_cut_not_rounded_and_at_least_one() -> None:
    iou = np.full((20, 2), 0.3, np.float32)
    iou[:, 1] = 0.01
    assert dynamic_counts(iou).tolist() == [3, 1]  # 13 * 0.3 = 3.9
    assert dynamic_counts(np.full((2, 1), 0.999, np.float32)).tolist() == [1]


def test_class_cost_is_the_sum_over_all_classes() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4, 5)) * 3
    iou, labels = rng.random((4, 2)), np.array([3, 1])
    for box, label in enumerate(labels):
        target = np.zeros((4, 5))
        target[:, label] = iou[:, box]
        probability = 1 / (1 + np.exp(-logits))
        entropy = -target * np.log(probability) - (1 - target) * np.log(1 - probability)
        expected = (entropy * np.abs(target - probability) ** 2).sum(axis=1)
        ours = class_cost(logits.astype(np.float32), iou.astype(np.float32), labels)[:, box]
        assert ours == pytest.approx(expected, rel=1e-5)
