"""Training targets of a region proposal network: matching and sampling of anchors, in numpy.

A: anchors, G: ground-truth boxes, K: sampled anchors. Images are processed one at a time;
`sampled_rows.concatenate` joins their rows.
Source: mmdet 2.18 dense_heads/anchor_head.py `_get_targets_single`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.models.sampled_rows import with_zeros
from unidet.ops.anchors import anchors_inside
from unidet.ops.iou_assignment import match_by_max_iou
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.ops.sampling import Shuffler, sample_random


@dataclass
class RPNTargets:
    """Sampled anchors of one image or of a batch; in each image, positives come before negatives.

    Attributes:
        images, anchors: (K,) indices.
        positive: (K,) bool.
        boxes: (K, 4) ground truth of positives, zeros for negatives.
        counts: (images, 2) positives and negatives of each image, each at least 1: the official
            losses are divided by their sum.
    """

    images: np.ndarray
    anchors: np.ndarray
    positive: np.ndarray
    boxes: np.ndarray
    counts: np.ndarray

    @property
    def boxes_learned(self) -> int:
        """Number of anchors with a box target."""
        return int(self.positive.sum())


def sample_anchors(
    image: int,
    anchors: np.ndarray,
    boxes: np.ndarray,
    size: tuple[int, int],
    *,
    iou: tuple[float, float],
    minimum_iou: float,
    count: int,
    rng: Shuffler,
) -> RPNTargets:
    """Sample at most `count` anchors completely inside the image of `size` (height, width).

    At most half of them are positive. `iou` is (lower limit of positives, upper limit of
    negatives). The best anchors of each ground truth (G, 4) are positive too, if their IoU is at
    least `minimum_iou`.
    """
    rows = np.flatnonzero(anchors_inside(anchors, *size))
    overlaps = pairwise_iou_numpy(boxes, anchors[rows])
    matched = match_by_max_iou(overlaps, *iou, minimum_iou, low_quality=True)
    positives, negatives = sample_random(matched, count, 0.5, rng)
    sampled = rows[np.concatenate([positives, negatives])]
    return RPNTargets(
        np.full(len(sampled), image),
        sampled,
        np.arange(len(sampled)) < len(positives),
        with_zeros(boxes[matched[positives]], len(negatives)),
        np.array([[max(len(positives), 1), max(len(negatives), 1)]]),
    )
