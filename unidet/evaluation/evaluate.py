"""Metrics by the name of their style."""

from __future__ import annotations

from typing import TYPE_CHECKING

from unidet.errors import UserError
from unidet.evaluation.category_outcomes import calibration_error_metrics, outcome_columns
from unidet.evaluation.coco import coco_metrics, evaluate_coco
from unidet.evaluation.lvis import evaluate_lvis, lvis_metrics
from unidet.evaluation.outcomes import outcomes
from unidet.evaluation.per_category import per_category_table
from unidet.evaluation.recall import recall_metrics
from unidet.records import Detections, GroundTruth

if TYPE_CHECKING:
    import pandas

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


def evaluate_categories(
    ground_truth: GroundTruth, detections: Detections, style: str
) -> tuple[dict[str, float], pandas.DataFrame]:
    """Calibration error of the scores, and `per_category_table` with `outcome_columns`.

    Args:
        style: "lvis" or "coco".
    """
    evaluation = {"lvis": evaluate_lvis, "coco": evaluate_coco}[style](ground_truth, detections)
    found = outcomes(ground_truth, detections, style)
    columns = outcome_columns(ground_truth, detections, found)
    table = per_category_table(ground_truth, evaluation, columns)
    return calibration_error_metrics(ground_truth, found), table
