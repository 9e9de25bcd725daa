"""AP without a limit on the detections per image (Dave et al., arXiv 2102.01066).

LVIS's 300 detections of an image make categories compete for places, so AP changes with scores that
say nothing about a category's own ranking. Fixed AP (section 4) takes the 10,000 best detections of
each category instead; pooled AP (section 5) ranks the detections of all categories in one list, so
it asks whether scores compare across categories. Equal to scripts/evaluate_ap_{fixed,pooled}.py of
achalddave/large-vocab-devil.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from unidet.evaluation.average_precision import mean_of_defined, precision_recall
from unidet.evaluation.lvis import lvis_evaluation
from unidet.evaluation.protocols import Annotated, Evaluated, lvis_protocol
from unidet.records import FREQUENCIES, Detections, GroundTruth

MAX_PER_CATEGORY = 10_000


def fixed_ap_metrics(
    truth: GroundTruth,
    detections: Detections,
    novel: Mapping[str, bool] | Mapping[int, bool] | None = None,
    max_per_category: int = MAX_PER_CATEGORY,
) -> dict[str, float]:
    """Fixed AP under LVIS's keys and `_fixed`, and AP_pooled APr_pooled APc_pooled APf_pooled.

    Args:
        detections: all detections of an image, not only its 300 best.
        novel: whether each category (by name or id) is novel; None takes the ground truth's word.

    Raises:
        UserError: the ground truth has no negative lists.
    """
    annotated, evaluated = lvis_protocol(truth, detections, max_per_category)
    metrics = lvis_evaluation(truth, annotated, evaluated, novel).metrics()
    fixed = {f"{key}_fixed": value for key, value in metrics.items() if key.startswith("AP")}
    scores = detections.scores[evaluated.rows]
    everywhere = np.ones(len(truth.category_ids), dtype=bool)
    pooled = {"AP_pooled": _pooled_ap(annotated, evaluated, scores, everywhere)}
    for frequency in FREQUENCIES:
        pool = np.array([value == frequency for value in truth.frequencies], dtype=bool)
        pooled[f"AP{frequency}_pooled"] = _pooled_ap(annotated, evaluated, scores, pool)
    return fixed | pooled


def _pooled_ap(
    annotated: Annotated, evaluated: Evaluated, scores: np.ndarray, pool: np.ndarray
) -> float:
    """AP with the categories of the (C,) bool `pool` as one; boxes match within categories."""
    detected = np.flatnonzero(pool[evaluated.category_rows])
    # where scores tie, by image and then by category
    order = np.lexsort((evaluated.groups[detected], -scores[detected]))
    boxes = annotated.take(np.flatnonzero(pool[annotated.category_rows]))
    ranked = evaluated.take(detected[order])
    curves = precision_recall(
        replace(boxes, category_rows=np.zeros_like(boxes.category_rows)),
        replace(ranked, category_rows=np.zeros_like(ranked.category_rows)),
        category_count=1,
    )
    return mean_of_defined(curves.precision[0])
