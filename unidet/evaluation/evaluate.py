"""Metrics of a style that is called by name."""

from __future__ import annotations

from unidet.errors import UserError
from unidet.evaluation.coco import coco_metrics
from unidet.evaluation.lvis import lvis_metrics
from unidet.evaluation.recall import recall_metrics
from unidet.records import Detections, GroundTruth

METRICS = {"lvis": lvis_metrics, "coco": coco_metrics, "proposals": recall_metrics}
STYLES = tuple(METRICS)


def evaluate(ground_truth: GroundTruth, detections: Detections, style: str) -> dict[str, float]:
    """Flat metrics by name; -1 where one is undefined.

    Args:
        style: "lvis" (federated AP), "coco" (COCO AP) or "proposals" (class-agnostic recall).

    Raises:
        UserError: an unknown style; ground truth that does not suit it.
    """
    if style not in METRICS:
        raise UserError(f"style {style!r} is unknown; it is one of {', '.join(STYLES)}")
    return METRICS[style](ground_truth, detections)
