"""Evaluates a results file against a ground-truth file, both in the official formats."""

from __future__ import annotations

from pathlib import Path

from unidet.errors import UserError
from unidet.evaluation.coco import coco_metrics
from unidet.evaluation.ground_truth import read_ground_truth
from unidet.evaluation.lvis import lvis_metrics
from unidet.evaluation.recall import recall_metrics
from unidet.evaluation.results import read_results

METRICS = {"lvis": lvis_metrics, "coco": coco_metrics, "proposals": recall_metrics}
STYLES = tuple(METRICS)


def evaluate(gt_path: Path, results_path: Path, style: str) -> dict[str, float]:
    """Flat metrics by name; -1 where one is undefined.

    Args:
        style: "lvis" (federated AP), "coco" (COCO AP) or "proposals" (class-agnostic recall).

    Raises:
        UserError: one line, for an unknown style or a fault in either file.
    """
    if style not in METRICS:
        raise UserError(f"style {style!r} is unknown; it is one of {', '.join(STYLES)}")
    ground_truth = read_ground_truth(gt_path)
    detections = read_results(results_path, ground_truth, class_agnostic=style == "proposals")
    return METRICS[style](ground_truth, detections)
