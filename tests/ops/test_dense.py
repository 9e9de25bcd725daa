"""What dense detectors add to the operations, against PyTorch's recorded values and by hand."""

from __future__ import annotations

from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.anchors import grid_points
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.distributions import decode_distances, encode_distances, expected_bins
from unidet.ops.group_norm import GroupNorm
from unidet.ops.losses import distribution_focal_loss, quality_focal_loss
from unidet.ops.nms import class_wise_nms

TORCH = dict(np.load(Path(__file__).with_name("torch_dense_values.npz")))


def check_gradients(name: str, total: jt.Var, leaves: list[jt.Var]) -> None:
    assert_allclose(total.item(), TORCH[name], rtol=5e-5)
    for number, gradient in enumerate(jt.grad(total, leaves)):
        assert_allclose(gradient.numpy(), TORCH[f"{name}/grad{number}"], rtol=1e-4, atol=2e-5)


def test_distribution_focal_loss_matches_torch() -> None:
    logits = jt.array(TORCH["bins"])
    loss = distribution_focal_loss(logits, TORCH["positions"], TORCH["bin_weights"]) / 5
    check_gradients("distribution_focal", loss, [logits])


@pytest.mark.parametrize("position", [-0.1, 7.0, 7.5])
def test_distribution_focal_loss_refuses_what_has_no_two_bins(position: float) -> None:
    with pytest.raises(ValueError, match="must be >= 0 and < 7"):
        distribution_focal_loss(jt.zeros((1, 8)), np.array([position]))


def test_distribution_focal_loss_of_nothing() -> None:
    assert distribution_focal_loss(jt.zeros((0, 8)), np.zeros(0)).item() == 0


def test_sums_of_many_elements_keep_their_digits() -> None:
    """340,000 equal terms: a single running float32 sum is off by 1e-4."""
    logits = jt.zeros((4250, 80))
    loss = quality_focal_loss(logits, np.zeros((4250, 80), np.float32)).item()
    assert loss == pytest.approx(4250 * 80 * 0.25 * np.log(2), rel=2e-6)


def test_expected_bins_match_torch() -> None:
    logits = jt.array(TORCH["sides"])
    means = expected_bins(logits, 8)
    assert_allclose(means.numpy(), TORCH["expected_bins/y"], rtol=1e-5)
    check_gradients("expected_bins", (means * jt.array(TORCH["dy_sides"])).sum(), [logits])


def test_distances_and_boxes_are_inverse() -> None:
    points = np.array([[8, 16], [0, 8]], np.float32)
    boxes = np.array([[6, 13, 9, 20], [-4, 8, 5, 9]], np.float32)
    distances = encode_distances(points, boxes)
    assert_array_equal(distances, [[2, 3, 1, 4], [4, 0, 5, 1]])
    assert_array_equal(decode_distances(points, jt.array(distances[None])).numpy(), boxes[None])


def test_grid_points_are_top_left_corners_row_by_row() -> None:
    assert_array_equal(grid_points(2, 3, 8), [[0, 0], [8, 0], [16, 0], [0, 8], [8, 8], [16, 8]])


def norm_inputs(norm: GroupNorm | BatchNorm2d) -> tuple[jt.Var, jt.Var]:
    norm.weight.update(jt.array(TORCH["weight"]))
    norm.bias.update(jt.array(TORCH["bias"]))
    x = jt.array(TORCH["x"])
    return x, norm(x * 2 + 30)


def test_group_norm_matches_torch() -> None:
    norm = GroupNorm(3, 6)
    x, y = norm_inputs(norm)
    assert_allclose(y.numpy(), TORCH["group/y"], atol=2e-5)
    total = (y * jt.array(TORCH["dy"])).sum()
    check_gradients("group", total, [x, norm.weight, norm.bias])


def test_group_norm_needs_equal_groups() -> None:
    with pytest.raises(ValueError, match="7 channels do not make 3 equal groups"):
        GroupNorm(3, 7)


def test_leaky_batch_norm_matches_torch() -> None:
    norm = BatchNorm2d(6, relu=True, leak=0.1)
    x, y = norm_inputs(norm)
    assert_allclose(y.numpy(), TORCH["batch/y"], atol=2e-5)
    total = (y * jt.array(TORCH["dy"])).sum()
    check_gradients("batch", total, [x, norm.weight, norm.bias])


def test_leaky_batch_norm_by_tensor_operations_is_the_same() -> None:
    norm = BatchNorm2d(6, relu=True, leak=0.1)
    x, _ = norm_inputs(norm)
    y, _, _ = norm._by_tensor_operations(x * 2 + 30)
    assert_allclose(y.numpy(), TORCH["batch/y"], atol=2e-5)


def test_class_wise_nms_by_hand() -> None:
    """Box 1 overlaps box 0 by 0.9: it goes within a class, and stays beside another one."""
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9]], np.float32)
    scores = np.array([0.5, 0.4, 0.9], np.float32)
    assert class_wise_nms(boxes, scores, np.array([3, 3, 0]), 0.6).tolist() == [2, 0]
    assert class_wise_nms(boxes, scores, np.array([3, 3, 3]), 0.6).tolist() == [2]
    assert class_wise_nms(boxes[:0], scores[:0], np.zeros(0, np.int64), 0.6).tolist() == []


def test_class_wise_nms_in_one_call_or_class_by_class() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 300, (10_000, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + 40], axis=1)
    scores = rng.permutation(10_000).astype(np.float32)
    labels = rng.integers(0, 3, 10_000)
    split = class_wise_nms(boxes, scores, labels, 0.5)
    whole = class_wise_nms(boxes[1:], scores[1:], labels[1:], 0.5) + 1
    # Box 0 can only change the fate of boxes that it overlaps, directly or through others.
    assert len(set(split) ^ set(whole)) < 30
    assert (np.diff(scores[split]) < 0).all()
