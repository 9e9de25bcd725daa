"""Average precision and recall of each category, over area ranges and IoU thresholds.

Legend: A area ranges, T IoU thresholds, C categories, G annotated boxes, D evaluated detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unidet.evaluation.matching import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    RECALL_THRESHOLDS,
    find_pairs,
    match,
)
from unidet.evaluation.protocols import Annotated, Evaluated
from unidet.records import UNDEFINED, rank_in_group


@dataclass(frozen=True)
class PrecisionRecall:
    """NaN if no box of a category and area range counts.

    Attributes:
        precision: (A, T, C) float64, AP over 101 recall thresholds.
        recall: (A, T, C) float64, of all evaluated detections.
        capped_recall: (caps, T, C) float64, of boxes of any size, by the best detections alone.
    """

    precision: np.ndarray
    recall: np.ndarray
    capped_recall: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Average precision and recall for every area range, IoU threshold and category.

    Attributes:
        precision: (A, T, C) float64, AP over 101 recall thresholds; NaN where undefined.
        recall: (A, T, C) float64, at the evaluator's max detections; NaN where undefined.
        novel: (C,) bool or None.
    """

    precision: np.ndarray
    recall: np.ndarray
    novel: np.ndarray | None

    @property
    def precision_TC(self) -> np.ndarray:
        """Of boxes of any size."""
        return self.precision[0]

    @property
    def recall_TC(self) -> np.ndarray:
        """Of boxes of any size."""
        return self.recall[0]

    def precision_metrics(self) -> dict[str, float]:
        """AP AP50 AP75 APs APm APl; -1 where undefined."""
        metrics = {
            "AP": mean_of_defined(self.precision[0]),
            "AP50": mean_of_defined(self.precision[0, 0]),
            "AP75": mean_of_defined(self.precision[0, 5]),
        }
        for area, name in enumerate(AREA_RANGES):
            if name != "all":
                metrics[f"AP{name[0]}"] = mean_of_defined(self.precision[area])
        return metrics


def precision_recall(
    annotated: Annotated, evaluated: Evaluated, category_count: int, caps: Sequence[int] = ()
) -> PrecisionRecall:
    """Precision and recall as pycocotools and lvis accumulate them.

    Args:
        caps: how many of the best detections, by `evaluated.ranks`, `capped_recall` looks at.
    """
    shape = (len(AREA_RANGES), len(IOU_THRESHOLDS), category_count)
    precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
    capped = np.full((len(caps), *shape[1:]), np.nan)
    pairs = find_pairs(
        evaluated.groups,
        evaluated.boxes_xywh,
        annotated.groups,
        annotated.boxes_xywh,
        annotated.is_crowd,
    )
    rows, pairs = pairs.by_meeting()
    met, others = evaluated.take(rows), _others_before(evaluated, rows, category_count)
    starts = np.searchsorted(met.category_rows, np.arange(category_count))
    counted = [
        np.bincount(annotated.category_rows[~ignored], minlength=category_count)
        for ignored in annotated.ignored
    ]
    needed = [_true_positives_needed(counts) for counts in counted]
    for matches in match(pairs, len(rows), annotated.ignored, annotated.is_crowd):
        area, threshold = matches.area, matches.threshold
        is_true, is_false = outcomes_of(annotated, met, area, matches.truths)
        true_positives, average = _average_precision(
            is_true, is_false, others[area], met.category_rows, starts, needed[area]
        )
        defined = counted[area] > 0
        precision[area, threshold, defined] = average[defined]
        recall[area, threshold, defined] = true_positives[defined] / counted[area][defined]
        if area or met.ranks is None:
            continue
        for row, cap in enumerate(caps):
            best = met.category_rows[is_true & (met.ranks < cap)]
            hits = np.bincount(best, minlength=category_count)
            capped[row, threshold, defined] = hits[defined] / counted[area][defined]
    return PrecisionRecall(precision, recall, capped)


def _others_before(evaluated: Evaluated, rows: np.ndarray, category_count: int) -> np.ndarray:
    """(A, K) int64: for each detection at `rows` (K,) the false positives of its category before
    it, of the detections that are not among these."""
    starts = np.searchsorted(evaluated.category_rows, np.arange(category_count))
    starts = starts[evaluated.category_rows[rows]]
    before = np.empty((len(evaluated.excused), len(rows)), np.int64)
    for area, excused in enumerate(evaluated.excused):
        is_false = ~excused
        is_false[rows] = False
        so_far = np.concatenate(([0], np.cumsum(is_false)))
        before[area] = so_far[rows] - so_far[starts]
    return before


def outcomes_of(
    annotated: Annotated, evaluated: Evaluated, area: int, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(D,) true and false positives, of the annotations `taken` (D,); what is neither is ignored.

    Args:
        area: position in AREA_RANGES.
        taken: (D,) index into `annotated`, -1 for none.
    """
    is_false = ~evaluated.excused[area]
    is_true = np.zeros(len(taken), dtype=bool)
    matched = np.flatnonzero(taken >= 0)
    truth = taken[matched]
    counts, ignored = annotated.counts_when_matched[truth], annotated.ignored[area, truth]
    is_true[matched] = counts & ~ignored
    is_false[matched] &= ~counts & ~ignored
    return is_true, is_false


def mean_of_defined(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; -1 if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else UNDEFINED


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
    others: np.ndarray,
    category_rows: np.ndarray,
    starts: np.ndarray,
    needed: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """True positives and AP of each category, (C,) each; of detections that meet a box at all,
    `others` (K,) being the false positives before each that do not.

    Precision need only be known at true positives: recall rises nowhere else, and the best
    precision from there on is that of a true positive.
    """
    hits = np.flatnonzero(is_true)
    categories = category_rows[hits]
    false_so_far = np.concatenate(([0], np.cumsum(is_false)))
    false_before = false_so_far[hits] - false_so_far[starts[categories]] + others[hits]
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
