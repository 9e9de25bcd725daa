"""Class-agnostic average recall of proposals, equal to pycocotools with useCats = 0."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from unidet.evaluation.matching import AREA_RANGES, IOU_THRESHOLDS, find_pairs, match, outside
from unidet.records import UNDEFINED, Detections, GroundTruth, rank_in_group

CAPS = (10, 100, 300, 1000)


def recall_metrics(ground_truth: GroundTruth, proposals: Detections) -> dict[str, float]:
    """Recall of the 10, 100, 300 and 1000 best proposals of each image.

    Keys: AR@k (mean over IoU .5:.95), ARs@k ARm@k ARl@k (by the area of the annotation), AUC AUCs
    AUCm AUCl (the area under AR against the logarithm of k from 10 to 1000, as a share of the
    whole), and R50@300 (IoU .5 alone). -1 where no box of that size is annotated. Crowds are
    neither missed nor found; categories play no part, except that equal scores rank by category id,
    as in pycocotools. Like there, an annotation of id 0 is never found.
    """
    return recall_of_parts(ground_truth, [proposals])


def recall_of_parts(ground_truth: GroundTruth, parts: Iterable[Detections]) -> dict[str, float]:
    """`recall_metrics` of proposals that come in parts, each with all those of its images."""
    truth = ground_truth
    order = np.lexsort((truth.category_rows, truth.image_rows))
    # a crowd only takes detections that find nothing else, which recall does not ask about
    order = order[~truth.is_crowd[order]]
    owners, areas = truth.image_rows[order], truth.areas[order]
    ignored = np.stack([outside(areas, limits) for limits in AREA_RANGES.values()])
    recalled = np.zeros((len(AREA_RANGES), len(IOU_THRESHOLDS), len(CAPS)))
    for proposals in parts:
        images = truth.rows_of_images(proposals.image_ids)
        if len(images):
            ends = np.array([images.min(), images.max() + 1], owners.dtype)
            first, last = np.searchsorted(owners, ends)
            recalled += _recalled(truth, order[first:last], ignored[:, first:last], proposals)
    return _summary(recalled, np.count_nonzero(~ignored, axis=1))


def _recalled(
    truth: GroundTruth, order: np.ndarray, ignored: np.ndarray, proposals: Detections
) -> np.ndarray:
    """How many of some annotations are found: (areas, thresholds, caps).

    Args:
        order: (G,) rows of the annotations.
        ignored: (areas, G) bool, those of other sizes.
    """
    images = truth.rows_of_images(proposals.image_ids)
    best = np.lexsort((proposals.category_ids, -proposals.scores, images))
    ranks = rank_in_group(images[best])
    best, ranks = best[ranks < max(CAPS)], ranks[ranks < max(CAPS)]
    pairs = find_pairs(
        images[best],
        proposals.boxes_xywh[best],
        truth.image_rows[order],
        truth.boxes_xywh[order],
    )
    findable = truth.annotation_ids[order] != 0
    recalled = np.zeros((len(AREA_RANGES), len(IOU_THRESHOLDS), len(CAPS)))
    for matches in match(pairs, len(best), ignored):
        matched = np.flatnonzero(matches.truths >= 0)
        taken = matches.truths[matched]
        counts = findable[taken] & ~ignored[matches.area, taken]
        recalled[matches.area, matches.threshold] = [
            np.count_nonzero(ranks[matched[counts]] < cap) for cap in CAPS
        ]
    return recalled


def _summary(recalled: np.ndarray, annotated: np.ndarray) -> dict[str, float]:
    """Metrics from found boxes (areas, thresholds, caps) and annotated boxes (areas,)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = recalled / annotated[:, None, None]
    recall[annotated == 0] = UNDEFINED
    metrics = {
        f"AR{'' if name == 'all' else name[0]}@{cap}": float(recall[area, :, column].mean())
        for area, name in enumerate(AREA_RANGES)
        for column, cap in enumerate(CAPS)
    }
    steps = np.diff(np.log10(CAPS))
    for area, name in enumerate(AREA_RANGES):
        means = recall[area].mean(axis=0)
        under = float(((means[1:] + means[:-1]) / 2 * steps).sum() / steps.sum())
        metrics[f"AUC{'' if name == 'all' else name[0]}"] = under if annotated[area] else UNDEFINED
    metrics["R50@300"] = float(recall[0, 0, CAPS.index(300)])
    return metrics
