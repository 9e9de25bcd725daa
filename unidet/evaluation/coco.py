"""COCO AP and AR, equal to pycocotools 2.0 and a hundred times faster.

Legend: A area ranges, T IoU thresholds, C categories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unidet.evaluation.average_precision import Evaluation, mean_of_defined, precision_recall
from unidet.evaluation.matching import AREA_RANGES
from unidet.evaluation.protocols import COCO_MAX_DETECTIONS, coco_protocol
from unidet.records import Detections, GroundTruth

CAPS = (1, 10)
"""AR is also said of so few detections of an image and category."""


@dataclass(frozen=True)
class CocoEvaluation(Evaluation):
    """`capped_recall`: (2, T, C) float64, of boxes of any size at max 1 and max 10 detections."""

    capped_recall: np.ndarray

    def metrics(self) -> dict[str, float]:
        """AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs ARm ARl; -1 where undefined.

        ARs, ARm and ARl are at max 100 detections of an image and category.
        """
        metrics = self.precision_metrics()
        for cap, recall in zip(CAPS, self.capped_recall, strict=True):
            metrics[f"AR@{cap}"] = mean_of_defined(recall)
        metrics[f"AR@{COCO_MAX_DETECTIONS}"] = mean_of_defined(self.recall[0])
        for area, name in enumerate(AREA_RANGES):
            if name != "all":
                metrics[f"AR{name[0]}"] = mean_of_defined(self.recall[area])
        return metrics


def coco_metrics(ground_truth: GroundTruth, detections: Detections) -> dict[str, float]:
    """The flat metrics of `evaluate_coco`; see `CocoEvaluation.metrics` for the keys."""
    return evaluate_coco(ground_truth, detections).metrics()


def evaluate_coco(
    ground_truth: GroundTruth,
    detections: Detections,
    novel: Mapping[str, bool] | Mapping[int, bool] | None = None,
) -> CocoEvaluation:
    """Evaluates detections against exhaustive ground truth.

    Annotations of id 0 count as missed whatever is detected, as in pycocotools.

    Args:
        detections: their image and category ids must be known to the ground truth.
        novel: whether each category (by name or id) is novel; None takes the ground truth's word.
    """
    annotated, evaluated = coco_protocol(ground_truth, detections)
    curves = precision_recall(annotated, evaluated, len(ground_truth.category_ids), CAPS)
    return CocoEvaluation(
        precision=curves.precision,
        recall=curves.recall,
        capped_recall=curves.capped_recall,
        novel=ground_truth.novelty(novel),
    )
