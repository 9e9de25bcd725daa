"""The outcome of every detection at IoU .5: right, wrong or ignored, by the official rules.

Legend: D detections that are evaluated, G annotated boxes, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from unidet.evaluation.average_precision import outcomes_of
from unidet.evaluation.matching import find_pairs, match
from unidet.evaluation.protocols import coco_protocol, lvis_protocol
from unidet.records import Detections, GroundTruth


@dataclass(frozen=True)
class Outcomes:
    """Evaluated detections, by category, then best first.

    Attributes:
        rows: (D,) int64, rows of the detections that were evaluated.
        image_rows, category_rows: (D,) int64 rows of the ground truth.
        scores: (D,) float64.
        truths: (D,) int64 row of the annotation that each takes, -1 for none.
        is_true, is_false: (D,) bool; what is neither is ignored.
        countable: (G,) bool, the annotations that are to be found.
        instances: (C,) int64, how many of them each category has.
    """

    rows: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    scores: np.ndarray
    truths: np.ndarray
    is_true: np.ndarray
    is_false: np.ndarray
    countable: np.ndarray
    instances: np.ndarray


def outcomes(truth: GroundTruth, detections: Detections, style: str) -> Outcomes:
    """Matches as LVIS's or COCO's evaluator does; a crowd is nobody's match.

    Not repeated: that an annotation of id 0 is never found.

    Args:
        style: "lvis" or "coco".
    """
    protocol = lvis_protocol if style == "lvis" else coco_protocol
    annotated, evaluated = protocol(truth, detections)
    annotated = replace(annotated, counts_when_matched=np.ones(len(annotated.rows), dtype=bool))
    crowds = annotated.is_crowd
    pairs = find_pairs(
        evaluated.groups, evaluated.boxes_xywh, annotated.groups, annotated.boxes_xywh, crowds
    )
    taken = next(match(pairs, len(evaluated.rows), annotated.ignored[:1], crowds)).truths
    is_true, is_false = outcomes_of(annotated, evaluated, 0, taken)
    countable = np.zeros(len(truth.areas), dtype=bool)
    countable[annotated.rows] = ~annotated.ignored[0]
    return Outcomes(
        rows=evaluated.rows,
        image_rows=evaluated.image_rows,
        category_rows=evaluated.category_rows,
        scores=detections.scores[evaluated.rows].astype(np.float64),
        truths=np.append(np.where(crowds, -1, annotated.rows), -1)[taken],
        is_true=is_true,
        is_false=is_false,
        countable=countable,
        instances=np.bincount(truth.category_rows[countable], minlength=len(truth.category_ids)),
    )
