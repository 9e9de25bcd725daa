"""Shared parts of DETR and RT-DETR: predictions, and box losses of matched queries.

N: images, Q: queries, M: matched pairs of a batch. Boxes are cxcywh relative to the image size.
Sources: detr models/detr.py; RT-DETR src/zoo/rtdetr/rtdetr_criterion.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import jittor as jt
import numpy as np

from unidet.models.matcher import Matches, Targets
from unidet.ops import losses
from unidet.ops.boxes import RELATIVE_FLOOR, cxcywh_to_xyxy
from unidet.ops.finite import require_finite


@dataclass(frozen=True)
class Prediction:
    """Logits (N, Q, C) and boxes (N, Q, 4)."""

    logits: jt.Var
    boxes: jt.Var

    def split(self, first: int) -> tuple[Prediction, Prediction]:
        """The first queries and the others."""
        logits, boxes = self.logits, self.boxes
        return (
            Prediction(logits[:, :first], boxes[:, :first]),
            Prediction(logits[:, first:], boxes[:, first:]),
        )


def absolute_boxes(boxes_NQ4: jt.Var, sizes_N2: np.ndarray) -> np.ndarray:
    """Relative cxcywh to xyxy in pixels, for images of `sizes_N2` (height, width)."""
    sides = np.tile(np.asarray(sizes_N2)[:, None, ::-1], (1, 1, 2)).astype(np.float32)
    return cxcywh_to_xyxy(require_finite(boxes_NQ4.numpy())) * sides


def proposals(
    boxes_NQ4: np.ndarray, scores_NQ: np.ndarray, sizes_N2: np.ndarray
) -> list[np.ndarray]:
    """Per image (Q, 5) xyxy + score, by descending score, clipped to (height, width)."""
    sorted_rows = []
    for boxes, scores, (height, width) in zip(boxes_NQ4, scores_NQ, sizes_N2, strict=True):
        limits = np.array([width, height, width, height], np.float32)
        rows = np.concatenate([np.clip(boxes, 0, limits), scores[:, None]], axis=1)
        sorted_rows.append(rows[np.argsort(-scores, kind="stable")])
    return sorted_rows


def matched_rows(values_NQX: jt.Var, matches: Matches) -> jt.Var:
    """Rows (M, X) of the matched queries."""
    queries, width = values_NQX.shape[1:]
    rows = (matches.images * queries + matches.queries).astype(np.int32)
    return values_NQX.reshape(-1, width)[jt.array(rows)]


def box_losses(boxes_NQ4: jt.Var, matches: Matches, targets: Targets) -> tuple[jt.Var, jt.Var]:
    """Sums of L1 distances and of 1 - GIoU over the matched pairs."""
    if not len(matches.images):
        zero = (boxes_NQ4 * 0.0).sum()
        return zero, zero
    predicted, truth = matched_rows(boxes_NQ4, matches), matches.boxes(targets)
    corners = cxcywh_to_xyxy(predicted)
    distance = losses.l1_loss(predicted, truth)
    overlap = losses.giou_loss(corners, cxcywh_to_xyxy(truth), floor=RELATIVE_FLOOR)
    return distance, overlap
