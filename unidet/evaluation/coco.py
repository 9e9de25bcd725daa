"""COCO AP and AR, computed by pycocotools with its printing silenced."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from unidet.records import Detections, GroundTruth

# in the order of COCOeval.stats
KEYS = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR@1", "AR@10", "AR@100", "ARs", "ARm", "ARl"),
)


def coco_metrics(ground_truth: GroundTruth, detections: Detections) -> dict[str, float]:
    """AP AP50 AP75 APs APm APl AR@1 AR@10 AR@100 ARs ARm ARl; -1 where undefined.

    ARs, ARm and ARl are at max 100 detections per image. Annotations of id 0 count as
    missed whatever is detected, as in pycocotools.
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
    return {key: float(value) for key, value in zip(KEYS, evaluation.stats, strict=True)}


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
