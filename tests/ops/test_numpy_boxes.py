"""Boxes in numpy, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.numpy_boxes import (
    broadcast_iou,
    paired_iou,
    pairwise_giou_numpy,
    pairwise_iou_numpy,
    xywh_to_xyxy,
    xyxy_to_xywh,
)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_formats() -> None:
    corners, sides = boxes([1, 2, 5, 10]), boxes([1, 2, 4, 8])
    assert_array_equal(xyxy_to_xywh(corners), sides)
    assert_array_equal(xywh_to_xyxy(sides), corners)
    assert_array_equal(sides, boxes([1, 2, 4, 8]))
    assert xyxy_to_xywh(corners).dtype == np.float32
    assert xywh_to_xyxy(np.zeros((0, 4))).shape == (0, 4)


def test_overlaps() -> None:
    """4 of 16 + 16 - 4 shared, a copy, apart, and a degenerate box."""
    first = boxes([0, 0, 4, 4], [2, 2, 6, 6])
    second = boxes([2, 2, 6, 6], [0, 0, 4, 4], [10, 10, 12, 12], [1, 1, 1, 1])
    expected = [[4 / 28, 1, 0, 0], [1, 4 / 28, 0, 0]]
    assert_allclose(pairwise_iou_numpy(first, second), expected, rtol=1e-6)
    assert_allclose(broadcast_iou(first[:, None], second[None]), expected, rtol=1e-6)
    columns = xyxy_to_xywh(np.repeat(first, 4, axis=0)).T, xyxy_to_xywh(np.tile(second, (2, 1))).T
    assert_allclose(paired_iou(*columns), np.ravel(expected), rtol=1e-6)


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_overlaps_of_few_boxes(counts: tuple[int, int]) -> None:
    first, second = (np.tile(boxes([0, 0, 2, 2]), (count, 1)) for count in counts)
    assert_allclose(pairwise_iou_numpy(first, second), np.ones(counts), rtol=1e-6)
    assert_allclose(broadcast_iou(first[:, None], second[None]), np.ones(counts), rtol=1e-6)


def test_generalized_overlaps_by_hand() -> None:
    """Intersection 1, union 7, hull 9: 1/7 - 2/9; side by side: 0; apart by as much: -1/3."""
    box = boxes([0, 0, 2, 2])
    others = boxes([1, 1, 3, 3], [2, 0, 4, 2], [4, 0, 6, 2])
    assert_allclose(pairwise_giou_numpy(box, others), [[1 / 7 - 2 / 9, 0, -1 / 3]], atol=1e-6)
    # A floor of 1e-6 would swallow boxes of a thousandth of the image's side.
    small = boxes([0, 0, 5e-4, 5e-4])
    assert_allclose(pairwise_giou_numpy(small, small, floor=1e-12), [[1]], atol=1e-6)
