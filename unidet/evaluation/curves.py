"""Curves over the detections of a set at IoU .5: precision against recall, and reliability.

Legend: C categories, D evaluated detections.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.evaluation.matching import RECALL_THRESHOLDS
from unidet.evaluation.outcomes import Outcomes

BINS = 10


def precision_recall(outcomes: Outcomes) -> np.ndarray:
    """(C, 101) float64 precision at recall 0, .01 … 1; NaN for a category without annotations.

    Interpolated as by the official evaluators: the mean of a row is the category's AP50.
    """
    curves = np.full((len(outcomes.instances), len(RECALL_THRESHOLDS)), np.nan)
    starts = np.searchsorted(outcomes.category_rows, np.arange(len(curves) + 1))
    for category in np.flatnonzero(outcomes.instances):
        rows = slice(starts[category], starts[category + 1])
        is_true, is_false = outcomes.is_true[rows], outcomes.is_false[rows]
        right, wrong = np.cumsum(is_true), np.cumsum(is_false)
        precision = right / (right + wrong + np.spacing(1))
        best = np.maximum.accumulate(precision[::-1])[::-1]
        recall = right / outcomes.instances[category]
        places = np.searchsorted(recall, RECALL_THRESHOLDS, side="left")
        curves[category] = np.append(best, np.zeros(1))[np.minimum(places, len(best))]
    return curves


@dataclass(frozen=True)
class Reliability:
    """The fraction of right detections by score, in bins of equal width.

    Attributes:
        counts: detections in each bin.
        scores, shares: their mean score and the fraction that is right; NaN in an empty bin.
        error: expected calibration error, the mean distance of the two over all detections (Guo
            and others 2017, section 2); NaN without detections.
    """

    counts: np.ndarray
    scores: np.ndarray
    shares: np.ndarray
    error: float


def reliability(outcomes: Outcomes, categories: np.ndarray) -> Reliability:
    """Reliability of the detections of the flagged (C,) categories, without ignored ones.

    Calibration may raise a score above 1; it belongs to the last bin.
    """
    counted = (outcomes.is_true | outcomes.is_false) & categories[outcomes.category_rows]
    scores, is_true = outcomes.scores[counted], outcomes.is_true[counted]
    places = np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    counts = np.bincount(places, minlength=BINS)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.bincount(places, scores, BINS) / counts
        shares = np.bincount(places, is_true, BINS) / counts
    filled = counts > 0
    distance = np.abs(means - shares)[filled] @ counts[filled]
    return Reliability(counts, means, shares, distance / len(scores) if len(scores) else np.nan)


def calibration_errors(outcomes: Outcomes) -> np.ndarray:
    """(C,) float64: the error of `reliability` per category; NaN without detections."""
    counted = outcomes.is_true | outcomes.is_false
    scores, categories = outcomes.scores[counted], outcomes.category_rows[counted]
    places = categories * BINS + np.clip((scores * BINS).astype(np.int64), 0, BINS - 1)
    size = len(outcomes.instances) * BINS
    # the mean distance, times the bin's detections: the distance of the sums
    sums = np.bincount(places, scores - outcomes.is_true[counted], size).reshape(-1, BINS)
    counts = np.bincount(categories, minlength=len(outcomes.instances))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(sums).sum(axis=1) / np.where(counts > 0, counts, np.nan)


@dataclass(frozen=True)
class OperatingPoint:
    """The score above which detections are shown: it maximizes F1 over all categories."""

    score: float
    precision: float
    recall: float
    f1: float


def operating_point(outcomes: Outcomes) -> OperatingPoint | None:
    """None without true positives or without annotations."""
    order = np.argsort(-outcomes.scores, kind="stable")
    right, wrong = np.cumsum(outcomes.is_true[order]), np.cumsum(outcomes.is_false[order])
    annotated = outcomes.instances.sum()
    if not annotated or not len(right) or not right[-1]:
        return None
    f1 = 2 * right / np.maximum(right + wrong + annotated, 1)
    # Detections of one score come and go together.
    scores = outcomes.scores[order]
    f1[:-1][scores[:-1] == scores[1:]] = -1
    best = int(np.argmax(f1))
    return OperatingPoint(
        score=float(scores[best]),
        precision=float(right[best] / max(right[best] + wrong[best], 1)),
        recall=float(right[best] / annotated),
        f1=float(f1[best]),
    )
