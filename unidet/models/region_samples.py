"""Training regions of the RoI stage of a localization network, in numpy.

G: ground-truth boxes, P: proposals, K: sampled rows. Images are processed one at a time;
`sampled_rows.concatenate` joins their rows.
Source: mmdet 2.18 roi_heads/standard_roi_head.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.models.sampled_rows import with_zeros
from unidet.ops.iou_assignment import match_by_max_iou
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.ops.sampling import Shuffler, sample_random


@dataclass
class RegionSamples:
    """Regions of one image or of a batch; in each image, positives come before negatives.

    Attributes:
        rois: (K, 5) index of the image, x1, y1, x2, y2.
        positive: (K,) bool.
        boxes: (K, 4) ground truth of positives, zeros for negatives.
    """

    rois: np.ndarray
    positive: np.ndarray
    boxes: np.ndarray


def sample_regions(
    image: int,
    proposals: np.ndarray,
    boxes: np.ndarray,
    *,
    iou: float,
    count: int,
    positive_fraction: float,
    rng: Shuffler,
) -> RegionSamples:
    """Sample regions of one image from ground truth (G, 4) and proposals (P, 4+).

    A region is positive if its IoU with a ground truth is at least `iou`.
    """
    candidates = np.concatenate([boxes, proposals[:, :4]]).astype(np.float32)
    overlaps = pairwise_iou_numpy(boxes, candidates)
    matched = match_by_max_iou(overlaps, iou, iou, iou, low_quality=False)
    positives, negatives = sample_random(matched, count, positive_fraction, rng)
    sampled = candidates[np.concatenate([positives, negatives])]
    rows = np.full((len(sampled), 1), image, np.float32)
    return RegionSamples(
        np.concatenate([rows, sampled], axis=1),
        np.arange(len(sampled)) < len(positives),
        with_zeros(boxes[matched[positives]], len(negatives)),
    )
