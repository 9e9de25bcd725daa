"""LVIS AP and AR (federated), equal to the lvis package 0.5.3 and a hundred times faster.

Legend: A area ranges, T IoU thresholds, C categories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unidet.evaluation.average_precision import Evaluation, mean_of_defined, precision_recall
from unidet.evaluation.matching import AREA_RANGES
from unidet.evaluation.protocols import (
    LVIS_MAX_DETECTIONS,
    Annotated,
    Evaluated,
    lvis_protocol,
)
from unidet.records import FREQUENCIES, Detections, GroundTruth


@dataclass(frozen=True)
class LvisEvaluation(Evaluation):
    """`frequencies`: C of "r", "c", "f" or None."""

    frequencies: tuple[str | None, ...]

    def metrics(self) -> dict[str, float]:
        """AP AP50 AP75 APs APm APl APr APc APf AR@300 ARs@300 ARm@300 ARl@300; -1: undefined.

        AP_base and AP_novel follow where novelty is known.
        """
        metrics = self.precision_metrics()
        for frequency in FREQUENCIES:
            rows = np.array([value == frequency for value in self.frequencies], dtype=bool)
            metrics[f"AP{frequency}"] = mean_of_defined(self.precision[0][:, rows])
        for area, name in enumerate(AREA_RANGES):
            letter = "" if name == "all" else name[0]
            metrics[f"AR{letter}@{LVIS_MAX_DETECTIONS}"] = mean_of_defined(self.recall[area])
        if self.novel is not None:
            metrics["AP_base"] = mean_of_defined(self.precision[0][:, ~self.novel])
            metrics["AP_novel"] = mean_of_defined(self.precision[0][:, self.novel])
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
    annotated, evaluated = lvis_protocol(ground_truth, detections)
    return lvis_evaluation(ground_truth, annotated, evaluated, novel)


def lvis_evaluation(
    ground_truth: GroundTruth,
    annotated: Annotated,
    evaluated: Evaluated,
    novel: Mapping[str, bool] | Mapping[int, bool] | None,
) -> LvisEvaluation:
    """Precision and recall of what `lvis_protocol` selects; see `evaluate_lvis`."""
    curves = precision_recall(annotated, evaluated, len(ground_truth.category_ids))
    return LvisEvaluation(
        precision=curves.precision,
        recall=curves.recall,
        frequencies=ground_truth.frequencies,
        novel=ground_truth.novelty(novel),
    )
