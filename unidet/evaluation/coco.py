"""COCO AP and AR, computed by pycocotools with its printing silenced."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unidet.records import UNDEFINED, Detections, GroundTruth

# in the order of COCOeval.stats
KEYS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR@1", "AR@10", "AR@100", "ARs", "ARm", "ARl"),
)


@dataclass(frozen=True)
class CocoEvaluation:
    """Precision and recall for every IoU threshold T and category C, and the summary.

    Attributes:
        precision_TC: (T, C) float64, AP over 101 recall thresholds, of boxes of any size; NaN
            where undefined.
        recall_TC: (T, C) float64, at max 100 detections of an image and category; NaN as above.
        novel: (C,) bool or None.
        stats: pycocotools' twelve numbers.
    """

    precision_TC: np.ndarray
    recall_TC: np.ndarray
    novel: np.ndarray | None
    stats: np.ndarray

    def metrics(self) -> dict[str, float]:
        """AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs ARm ARl; -1 where undefined.

        ARs, ARm and ARl are at max 100 detections per image.
        """
        return {key: float(value) for key, value in zip(KEYS, self.stats, strict=True)}


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
        novel: whether each category (by name or id) is novel; None takes the ground truth's word.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        truth.dataset = _truth_document(ground_truth)
        truth.createIndex()
        results.dataset = _results_document(truth.dataset, detections)
        results.createIndex()
        evaluation = COCOeval(truth, results, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision_TRC = evaluation.eval["precision"][:, :, :, 0, -1]
    return CocoEvaluation(
        precision_TC=_defined(precision_TRC).mean(axis=1),
        recall_TC=_defined(evaluation.eval["recall"][:, :, 0, -1]),
        novel=ground_truth.novelty(novel),
        stats=evaluation.stats,
    )


def _defined(values: np.ndarray) -> np.ndarray:
    return np.where(values == UNDEFINED, np.nan, values)


def _truth_document(truth: GroundTruth) -> dict[str, Any]:
    columns = zip(
        truth.annotation_ids.tolist(),
        truth.image_ids[truth.image_rows].tolist(),
        truth.category_ids[truth.category_rows].tolist(),
        truth.boxes_xywh.tolist(),
        truth.areas.tolist(),
        truth.is_crowd.astype(int).tolist(),
        strict=True,
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return {
        "images": [{"id": number} for number in truth.image_ids.tolist()],
        "categories": [{"id": number} for number in truth.category_ids.tolist()],
        "annotations": [dict(zip(keys, record, strict=True)) for record in columns],
    }


def _results_document(truth: dict[str, Any], detections: Detections) -> dict[str, Any]:
    """What COCO.loadRes makes of the detections; it fails when there are none."""
    columns = zip(
        range(1, len(detections) + 1),
        detections.image_ids.tolist(),
        detections.category_ids.tolist(),
        detections.boxes_xywh.tolist(),
        np.prod(detections.boxes_xywh[:, 2:], axis=1).tolist(),
        detections.scores.tolist(),
        strict=True,
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "score")
    annotations = [{**dict(zip(keys, record, strict=True)), "iscrowd": 0} for record in columns]
    return {**truth, "annotations": annotations}
