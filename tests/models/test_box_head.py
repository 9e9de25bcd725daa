"""What the RoI stage samples, and from which level it pools, by hand."""

from __future__ import annotations

import numpy as np

from unidet.models.box_head import pyramid_level
from unidet.models.region_samples import sample_regions
from unidet.models.sampled_rows import concatenate

NO_BOXES = np.zeros((0, 4), np.float32)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_regions_start_with_the_ground_truth() -> None:
    boxes = np.array([[0, 0, 10, 10]], np.float32)
    proposals = np.array(
        [[20, 20, 30, 30, 0.9], [0, 0, 10, 6, 0.8], [0, 0, 10, 4, 0.7]], np.float32
    )
    targets = sample_regions(
        2, proposals, boxes, iou=0.5, count=8, positive_fraction=0.5, rng=_rng()
    )
    assert targets.rois.tolist() == [
        [2, 0, 0, 10, 10],
        [2, 0, 0, 10, 6],
        [2, 20, 20, 30, 30],
        [2, 0, 0, 10, 4],
    ]
    assert targets.positive.tolist() == [True, True, False, False]
    assert targets.boxes.tolist() == [[0, 0, 10, 10]] * 2 + [[0, 0, 0, 0]] * 2
    empty = sample_regions(
        2, proposals, NO_BOXES, iou=0.5, count=2, positive_fraction=0.5, rng=_rng()
    )
    assert empty.positive.tolist() == [False, False]
    both = concatenate([targets, empty])
    assert both.rois.shape == (6, 5)
    assert both.positive.sum() == 2


def test_pyramid_level_doubles_with_the_side() -> None:
    sides = np.array([[0, 0], [111, 111], [112, 112], [56, 224], [500, 500], [4000, 4000]])
    rois = np.concatenate([np.zeros((6, 3)), sides], axis=1).astype(np.float32)
    assert pyramid_level(rois, 56.0, 4).tolist() == [0, 0, 1, 1, 3, 3]
    inverted = np.array([[0, 10, 10, 5, 400]], np.float32)
    assert pyramid_level(inverted, 56.0, 4).tolist() == [0]
