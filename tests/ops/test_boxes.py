"""Boxes, coders and anchors by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.anchors import anchors_inside, centerness, grid_anchors
from unidet.ops.boxes import (
    areas,
    clip_boxes,
    cxcywh_to_xyxy,
    elementwise_iou,
    xyxy_to_cxcywh,
)
from unidet.ops.coders import decode_deltas, decode_tblr, encode_deltas

EMPTY = np.zeros((0, 4), np.float32)


def boxes(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_overlaps_of_rows() -> None:
    """4 of 16 + 16 - 4 shared, and a copy."""
    first = boxes([0, 0, 4, 4], [2, 2, 6, 6])
    second = boxes([2, 2, 6, 6], [2, 2, 6, 6])
    assert_allclose(elementwise_iou(first, second).numpy(), [4 / 28, 1], rtol=1e-6)


def test_corners_and_centres() -> None:
    corners = np.array([[[1, 2, 5, 10]]], np.float32)
    centres = np.array([[[3, 6, 4, 8]]], np.float32)
    assert_array_equal(xyxy_to_cxcywh(corners), centres)
    assert_array_equal(cxcywh_to_xyxy(centres), corners)
    assert_array_equal(cxcywh_to_xyxy(jt.array(centres)).numpy(), corners)
    assert_array_equal(xyxy_to_cxcywh(jt.array(corners)).numpy(), centres)


def test_areas_and_clipping() -> None:
    rows = jt.array(boxes([-5, 1, 7, 30], [2, 3, 4, 5]))
    assert_array_equal(areas(rows).numpy(), [12 * 29, 4])
    assert_array_equal(clip_boxes(rows, (20, 6)).numpy(), [[0, 1, 6, 20], [2, 3, 4, 5]])
    each = np.array([[20, 6], [4, 3]])
    assert_array_equal(clip_boxes(rows, each).numpy(), [[0, 1, 6, 20], [2, 3, 3, 4]])
    assert clip_boxes(jt.array(EMPTY), (20, 6)).shape == [0, 4]
    assert clip_boxes(jt.array(EMPTY), np.zeros((0, 2))).shape == [0, 4]


def test_deltas_by_hand() -> None:
    """Centre 2 right of a 10-wide box: 0.2 / 0.1; twice as high: ln 2 / 0.2."""
    reference, box = boxes([0, 0, 10, 10]), boxes([2, -5, 12, 15])
    deltas = encode_deltas(reference, box)
    assert_allclose(deltas.numpy(), [[2, 0, 0, np.log(2) / 0.2]], atol=1e-6)
    assert_allclose(decode_deltas(reference, deltas).numpy(), box, atol=1e-5)
    assert_allclose(
        decode_deltas(reference, deltas, max_shape=(8, 11)).numpy(), [[2, 0, 11, 8]], atol=1e-5
    )


def test_deltas_grow_a_side_at_most_62_5_fold() -> None:
    huge = jt.array(boxes([0, 0, 1000, -1000]))
    decoded = decode_deltas(boxes([0, 0, 2, 2]), huge).numpy()
    assert_allclose(decoded, [[1 - 62.5, 1 - 0.016, 1 + 62.5, 1 + 0.016]], rtol=1e-5)


def test_tblr_by_hand() -> None:
    """Reference 8 wide, 4 high, centre (4, 2); the box starts right of the centre."""
    reference, box = boxes([0, 0, 8, 4]), boxes([5, -2, 10, 6])
    distances = jt.array(boxes([1, 1, -0.125, 0.75]))
    assert_allclose(decode_tblr(reference, distances).numpy(), box, atol=1e-5)


def test_tblr_gradient_is_the_references_side() -> None:
    distances = jt.zeros((1, 4))
    moved = decode_tblr(boxes([0, 0, 8, 4]), distances)
    weights = jt.array(boxes([1, 10, 100, 1000]))
    gradient = jt.grad((moved * weights).sum(), distances).numpy()
    assert_allclose(gradient, [[-4 * 10, 4 * 1000, -8 * 1, 8 * 100]])


def test_coders_take_no_boxes() -> None:
    no_deltas = jt.array(EMPTY)
    assert encode_deltas(EMPTY, EMPTY).shape == [0, 4]
    for decode in (decode_deltas, decode_tblr):
        assert decode(EMPTY, no_deltas, max_shape=(4, 4)).shape == [0, 4]


def test_anchor_order_and_size() -> None:
    anchors = grid_anchors(2, 3, stride=4, scales=[8])
    assert anchors.dtype == np.float32
    assert_array_equal(anchors[0], [-16, -16, 16, 16])
    assert_array_equal(anchors[1], [-12, -16, 20, 16])
    assert_array_equal(anchors[3], [-16, -12, 16, 20])
    assert grid_anchors(0, 3, 4, [8]).shape == (0, 4)


def test_a_cell_has_an_anchor_of_each_ratio_and_in_it_of_each_scale() -> None:
    """Ratio 1/4 is four times as wide as high: 2 x 1/2 sides of a square of the same area."""
    anchors = grid_anchors(1, 2, stride=4, scales=[1, 2], ratios=[0.25, 1])
    first = [[-4, -1, 4, 1], [-8, -2, 8, 2], [-2, -2, 2, 2], [-4, -4, 4, 4]]
    assert_array_equal(anchors[:4], first)
    assert_array_equal(anchors[4:], anchors[:4] + np.array([4, 0, 4, 0], np.float32))


def test_far_border_counts_as_outside() -> None:
    rows = boxes([0, 0, 9, 19], [0, 0, 10, 19], [0, 0, 9, 20], [-1, 0, 9, 9], [0, -1, 9, 9])
    assert anchors_inside(rows, height=20, width=10).tolist() == [True, False, False, False, False]


def test_centerness_by_hand() -> None:
    """Centre (2, 3): in the middle; quarter and half off; on the border; outside."""
    anchors = np.tile(boxes([0, 0, 4, 6]), (4, 1))
    targets = boxes([0, 0, 4, 6], [1, 2, 5, 5], [2, 0, 6, 6], [3, 0, 6, 6])
    expected = [1, np.sqrt(1 / 3 * 1 / 2), 0, 0]
    assert_allclose(centerness(anchors, targets), expected, rtol=1e-6)
    assert centerness(EMPTY, EMPTY).shape == (0,)
