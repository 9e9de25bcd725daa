"""LVIS AP and AR (federated), equal to the lvis package 0.5.3 and a hundred times faster.

Legend: A area ranges, T IoU thresholds, C categories, N images, D detections that are evaluated.

What the package does and this module repeats: the 300 best detections of an image over all
categories; degenerate boxes (annotated or detected) are left out; detections whose category is
neither annotated in the image nor in its negative list are left out; unmatched detections of a
category that is not exhaustively annotated there are ignored; an annotation of id 0 can be taken
but its match counts for nothing (ids should start at 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unidet.errors import UserError
from unidet.evaluation.matching import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    RECALL_THRESHOLDS,
    find_pairs,
    match,
    outside,
)
from unidet.records import FREQUENCIES, UNDEFINED, Detections, GroundTruth, rank_in_group

MAX_DETECTIONS = 300


@dataclass(frozen=True)
class LvisEvaluation:
    """Average precision and recall for every area range, IoU threshold and category.

    Attributes:
        precision: (A, T, C) float64, AP over 101 recall thresholds; NaN where undefined.
        recall: (A, T, C) float64; NaN where undefined.
        instances: (C,) int64, annotated boxes of any size.
        frequencies: C of "r", "c", "f" or None.
        novel: (C,) bool or None.
    """

    precision: np.ndarray
    recall: np.ndarray
    instances: np.ndarray
    frequencies: tuple[str | None, ...]
    novel: np.ndarray | None

    @property
    def precision_TC(self) -> np.ndarray:
        """Of boxes of any size."""
        return self.precision[0]

    @property
    def recall_TC(self) -> np.ndarray:
        """Of boxes of any size."""
        return self.recall[0]

    def metrics(self) -> dict[str, float]:
        """AP AP50 AP75 APs APm APl APr APc APf AR@300 ARs@300 ARm@300 ARl@300; -1: undefined.

        AP_base and AP_novel follow where novelty is known.
        """
        metrics = {
            "AP": _mean(self.precision[0]),
            "AP50": _mean(self.precision[0, 0]),
            "AP75": _mean(self.precision[0, 5]),
        }
        for area, name in enumerate(AREA_RANGES):
            if name != "all":
                metrics[f"AP{name[0]}"] = _mean(self.precision[area])
        for frequency in FREQUENCIES:
            rows = np.array([value == frequency for value in self.frequencies], dtype=bool)
            metrics[f"AP{frequency}"] = _mean(self.precision[0][:, rows])
        for area, name in enumerate(AREA_RANGES):
            letter = "" if name == "all" else name[0]
            metrics[f"AR{letter}@{MAX_DETECTIONS}"] = _mean(self.recall[area])
        if self.novel is not None:
            metrics["AP_base"] = _mean(self.precision[0][:, ~self.novel])
            metrics["AP_novel"] = _mean(self.precision[0][:, self.novel])
        return metrics


def lvis_metrics(
    ground_truth: GroundTruth,
    detections: Detections,
    novel: Mapping[str, bool] | Mapping[int, bool] | None = None,
) -> dict[str, float]:
    """The flat metrics of `evaluate_lvis`; see `LvisEvaluation.metrics` for the keys."""
    return evaluate_lvis(ground_truth, detections, novel).metrics()


def evaluate_lvis(
    ground_truth: GroundTruth,
    detections: Detections,
    novel: Mapping[str, bool] | Mapping[int, bool] | None = None,
) -> LvisEvaluation:
    """Evaluates detections against federated ground truth.

    Args:
        detections: their image and category ids must be known to the ground truth.
        novel: whether each category (by name or id) is novel; None takes the ground truth's word.

    Raises:
        UserError: the ground truth has no negative lists.
    """
    if ground_truth.negatives is None:
        raise UserError(
            f'{ground_truth.source}: not every image has "neg_category_ids", so it is no LVIS '
            "ground truth; evaluate it with style coco"
        )
    truths = _Truths.of(ground_truth)
    evaluated = _Evaluated.of(ground_truth, truths, detections)
    instances = np.bincount(ground_truth.category_rows, minlength=len(ground_truth.category_ids))
    precision, recall = _accumulate(truths, evaluated, len(ground_truth.category_ids))
    return LvisEvaluation(
        precision, recall, instances, ground_truth.frequencies, ground_truth.novelty(novel)
    )


@dataclass(frozen=True)
class _Truths:
    """G annotated boxes of some area, sorted by image and category."""

    groups: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    ignored: np.ndarray  # (A, G)
    counts_when_matched: np.ndarray

    @classmethod
    def of(cls, truth: GroundTruth) -> _Truths:
        groups = truth.image_rows.astype(np.int64) * len(truth.category_ids) + truth.category_rows
        order = np.argsort(groups, kind="stable")
        order = order[truth.areas[order] > 0]
        areas = truth.areas[order]
        ignored = np.stack([outside(areas, limits) for limits in AREA_RANGES.values()])
        return cls(
            groups=groups[order],
            category_rows=truth.category_rows[order],
            boxes_xywh=truth.boxes_xywh[order],
            ignored=ignored | truth.is_ignored[order],
            counts_when_matched=truth.annotation_ids[order] != 0,
        )


@dataclass(frozen=True)
class _Evaluated:
    """D detections that count, in the package's order: by category, then score, then image."""

    groups: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    excused: np.ndarray  # (A, D): ignored unless matched

    @classmethod
    def of(cls, truth: GroundTruth, truths: _Truths, detections: Detections) -> _Evaluated:
        assert truth.negatives is not None
        assert truth.not_exhaustive is not None
        images = truth.rows_of_images(detections.image_ids)
        order = np.lexsort((-detections.scores, images))
        order = order[rank_in_group(images[order]) < MAX_DETECTIONS]
        images = images[order]
        categories = truth.rows_of_categories(detections.category_ids[order])
        verified = truth.negatives.copy()
        verified.reshape(-1)[truths.groups] = True
        areas = detections.boxes_xywh[order, 2] * detections.boxes_xywh[order, 3]
        kept = np.flatnonzero(verified[images, categories] & (areas > 0))
        kept = kept[np.lexsort((-detections.scores[order[kept]], categories[kept]))]
        images, categories, areas = images[kept], categories[kept], areas[kept]
        out_of_range = np.stack([outside(areas, limits) for limits in AREA_RANGES.values()])
        return cls(
            groups=images * len(truth.category_ids) + categories,
            category_rows=categories,
            boxes_xywh=detections.boxes_xywh[order[kept]],
            excused=out_of_range | truth.not_exhaustive[images, categories],
        )


def _accumulate(
    truths: _Truths, evaluated: _Evaluated, category_count: int
) -> tuple[np.ndarray, np.ndarray]:
    shape = (len(AREA_RANGES), len(IOU_THRESHOLDS), category_count)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    pairs = find_pairs(evaluated.groups, evaluated.boxes_xywh, truths.groups, truths.boxes_xywh)
    starts = np.searchsorted(evaluated.category_rows, np.arange(category_count))
    counted = [
        np.bincount(truths.category_rows[~ignored], minlength=category_count)
        for ignored in truths.ignored
    ]
    needed = [_true_positives_needed(counts) for counts in counted]
    for matches in match(pairs, len(evaluated.groups), truths.ignored):
        area, taken = matches.area, matches.truths
        is_true, is_false = _outcomes(truths, evaluated, area, taken)
        true_positives, average = _average_precision(
            is_true, is_false, evaluated.category_rows, starts, needed[area]
        )
        defined = counted[area] > 0
        precision[area, matches.threshold, defined] = average[defined]
        recall[area, matches.threshold, defined] = true_positives[defined] / counted[area][defined]
    return precision, recall


def _outcomes(
    truths: _Truths, evaluated: _Evaluated, area: int, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(D,) true and false positives; what is neither is ignored."""
    is_false = ~evaluated.excused[area]
    is_true = np.zeros(len(taken), dtype=bool)
    matched = np.flatnonzero(taken >= 0)
    truth = taken[matched]
    counts, ignored = truths.counts_when_matched[truth], truths.ignored[area, truth]
    is_true[matched] = counts & ~ignored
    is_false[matched] &= ~counts & ~ignored
    return is_true, is_false


def _true_positives_needed(counted: np.ndarray) -> np.ndarray:
    """(C, 101): how many true positives reach each recall threshold; the first needs one."""
    needed = np.ones((len(counted), len(RECALL_THRESHOLDS)), dtype=np.int64)
    for count in np.unique(counted[counted > 0]):
        recalls = np.arange(1, count + 1) / count
        needed[counted == count] = np.searchsorted(recalls, RECALL_THRESHOLDS, side="left") + 1
    return needed


def _average_precision(
    is_true: np.ndarray,
    is_false: np.ndarray,
    category_rows: np.ndarray,
    starts: np.ndarray,
    needed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """True positives and AP of each category, (C,) each.

    Precision need only be known at true positives: recall rises nowhere else, and the best
    precision from there on is that of a true positive.
    """
    hits = np.flatnonzero(is_true)
    categories = category_rows[hits]
    false_so_far = np.concatenate(([0], np.cumsum(is_false)))
    false_before = false_so_far[hits] - false_so_far[starts[categories]]
    ordinal = rank_in_group(categories) + 1
    precision = ordinal / (ordinal + false_before + np.spacing(1))
    counts = np.bincount(categories, minlength=len(starts))
    first = np.cumsum(counts) - counts
    # one running maximum from the right for all categories: each is lifted above those after it
    lift = 2.0 * categories
    best = np.maximum.accumulate((precision - lift)[::-1])[::-1] + lift
    reached = needed <= counts[:, None]
    positions = np.where(reached, first[:, None] + needed - 1, 0)
    curve = np.append(best, 0.0)[positions]
    return counts, np.where(reached, curve, 0.0).mean(axis=1)


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else UNDEFINED
