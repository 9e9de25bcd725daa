"""What becomes of every detection at IoU .5: right, wrong or ignored, by the official rules.

Legend: D detections that are evaluated, G annotated boxes, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.evaluation.matching import find_pairs, match
from unidet.records import Detections, GroundTruth, rank_in_group

LVIS_MOST, COCO_MOST = 300, 100  # detections of an image; of an image and category


@dataclass(frozen=True)
class Outcomes:
    """Evaluated detections, by category, then best first.

    Attributes:
        rows: (D,) int64, rows of the detections that were evaluated.
        image_rows, category_rows: (D,) int64 rows of the ground truth.
        scores: (D,) float64.
        truths: (D,) int64 row of the annotation that each takes, -1 for none.
        is_true, is_false: (D,) bool; what is neither is ignored.
        countable: (G,) bool, the annotations that are to be found.
        instances: (C,) int64, how many of them each category has.
    """

    rows: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    scores: np.ndarray
    truths: np.ndarray
    is_true: np.ndarray
    is_false: np.ndarray
    countable: np.ndarray
    instances: np.ndarray


def outcomes(truth: GroundTruth, detections: Detections, style: str) -> Outcomes:
    """Matches as LVIS's or COCO's evaluator does.

    Not repeated: that an annotation of id 0 is never found.

    Args:
        style: "lvis" or "coco".
    """
    federated = style == "lvis"
    order, images, categories = _evaluated(truth, detections, federated)
    annotated = truth.areas > 0 if federated else np.ones(len(truth.areas), bool)
    ignored = truth.is_ignored if federated else truth.is_crowd
    groups = truth.image_rows.astype(np.int64) * len(truth.category_ids) + truth.category_rows
    # Any number of detections may take a crowd of COCO, by a measure of its own.
    able = np.flatnonzero(annotated & (federated | ~truth.is_crowd))
    able = able[np.argsort(groups[able], kind="stable")]
    boxes = detections.boxes_xywh[order]
    own = images * len(truth.category_ids) + categories
    pairs = find_pairs(own, boxes, groups[able], truth.boxes_xywh[able])
    taken = next(match(pairs, len(order), ignored[able][None])).truths
    truths = np.where(taken >= 0, np.append(able, -1)[taken], -1)
    excused = np.zeros(len(order), bool)
    if federated:
        assert truth.not_exhaustive is not None
        excused = truth.not_exhaustive[images, categories]
    else:
        crowds = np.flatnonzero(truth.is_crowd)
        excused = _in_crowd(own, boxes, groups[crowds], truth.boxes_xywh[crowds])
    matched = truths >= 0
    counts = matched & ~np.append(ignored, False)[truths]
    countable = annotated & ~ignored
    return Outcomes(
        rows=order,
        image_rows=images,
        category_rows=categories,
        scores=detections.scores[order].astype(np.float64),
        truths=truths,
        is_true=counts,
        is_false=~matched & ~excused,
        countable=countable,
        instances=np.bincount(truth.category_rows[countable], minlength=len(truth.category_ids)),
    )


def _evaluated(
    truth: GroundTruth, detections: Detections, federated: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the detections that count, their images and categories; by category, best first."""
    images = truth.rows_of_images(detections.image_ids)
    categories = truth.rows_of_categories(detections.category_ids)
    if federated:
        assert truth.negatives is not None
        order = np.lexsort((-detections.scores, images))
        order = order[rank_in_group(images[order]) < LVIS_MOST]
        verified = truth.negatives.copy()
        sized = truth.areas > 0
        verified[truth.image_rows[sized], truth.category_rows[sized]] = True
        known = verified[images[order], categories[order]]
        order = order[known & (detections.boxes_xywh[order, 2:] > 0).all(axis=1)]
    else:
        groups = images * len(truth.category_ids) + categories
        order = np.lexsort((-detections.scores, groups))
        order = order[rank_in_group(groups[order]) < COCO_MOST]
        order = order[np.argsort(images[order], kind="stable")]
    order = order[np.lexsort((-detections.scores[order], categories[order]))]
    return order, images[order], categories[order]


def _in_crowd(
    groups: np.ndarray, boxes: np.ndarray, crowd_groups: np.ndarray, crowds: np.ndarray
) -> np.ndarray:
    """(D,) bool: whether at least half of a detection lies in a crowd of its image and category."""
    inside = np.zeros(len(groups), bool)
    areas = boxes[:, 2] * boxes[:, 3]
    for group, crowd in zip(crowd_groups, crowds, strict=True):
        rows = np.flatnonzero(groups == group)
        first = np.maximum(boxes[rows, :2], crowd[:2])
        last = np.minimum(boxes[rows, :2] + boxes[rows, 2:], crowd[:2] + crowd[2:])
        shared = np.prod(np.clip(last - first, 0, None), axis=1)
        inside[rows] |= shared >= 0.5 * areas[rows]
    return inside
