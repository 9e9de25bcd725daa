"""Targets of OLN's proposal head on cases small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.models.oln_targets import DenseAnchors, SampledAnchors

NO_BOXES = np.zeros((0, 4), np.float32)
ANCHORS = np.array(
    [[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [-5, 0, 5, 10], [32, 32, 52, 52]],
    np.float32,
)


def _official(skip_border_boxes: bool = True, count: int = 4) -> SampledAnchors:
    return SampledAnchors((0.7, 0.3), (0.3, 0.1), 0.3, count, skip_border_boxes)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_only_anchors_inside_the_image_are_sampled() -> None:
    """The last two anchors stick out of 40 x 40; the second overlaps the box by 1/3: ignored for
    boxes (0.3 .. 0.7), positive for objectness, though its centre lies on the box's edge."""
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    targets = _official(skip_border_boxes=False)(3, ANCHORS, boxes, (40, 40), _rng())
    assert targets.box_anchors.tolist() == [0]
    assert targets.box_images.tolist() == [3]
    assert targets.boxes.tolist() == [[0, 0, 10, 10]]
    assert targets.box_samples.tolist() == [2]
    assert targets.objectness_anchors.tolist() == [0, 1, 2]
    assert targets.objectness.tolist() == [1, 0, 0]


@pytest.mark.parametrize(("skip", "learning"), [(True, [2]), (False, [0, 2])])
def test_official_skips_boxes_at_the_left_or_top_border(skip: bool, learning: list[int]) -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    targets = _official(skip)(0, ANCHORS, boxes, (40, 40), _rng())
    assert targets.box_anchors.tolist() == learning
    # Both count as samples all the same: two positives, and 1 where no anchor is negative.
    assert targets.box_samples.tolist() == [3]


def test_an_image_without_boxes_gives_only_negatives() -> None:
    targets = _official(count=2)(0, ANCHORS, NO_BOXES, (40, 40), _rng())
    assert targets.boxes.shape == (0, 4)
    assert targets.box_samples.tolist() == [3]
    assert len(targets.objectness_anchors) == 2
    assert targets.objectness.tolist() == [0, 0]


def test_dense_targets_cover_every_anchor_centred_in_the_image() -> None:
    """The fourth anchor's centre is at x = 0; the fifth's, (42, 42), lies outside."""
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    targets = DenseAnchors((0.5, 0.2), 0.3)(1, ANCHORS, boxes, (40, 40), _rng())
    assert targets.box_anchors.tolist() == [0]
    assert targets.box_samples.tolist() == [1]
    # The second and fourth overlap by 1/3: between the thresholds, they learn nothing.
    assert targets.objectness_anchors.tolist() == [0, 2]
    assert targets.objectness.tolist() == [1, 0]
    empty = DenseAnchors((0.5, 0.2), 0.3)(1, ANCHORS, NO_BOXES, (40, 40), _rng())
    assert empty.objectness_anchors.tolist() == [0, 1, 2, 3]
    assert empty.boxes.shape == (0, 4)
