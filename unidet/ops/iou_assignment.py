"""Assignment of anchors or proposals to ground-truth boxes by IoU, in numpy.

G: ground-truth boxes, A: candidates (anchors or proposals).
"""

from __future__ import annotations

import numpy as np

NEGATIVE = -1
IGNORED = -2


def match_by_max_iou(
    iou: np.ndarray, pos: float, neg: float, min_pos: float, low_quality: bool
) -> np.ndarray:
    """Assign candidates by IoU (G, A): (A,) int64, a ground-truth row >= 0, NEGATIVE or IGNORED.

    A candidate whose best IoU is below `neg` is negative; one whose best IoU is at least `pos` is
    assigned to that box; others are ignored. With `low_quality`, each box is then also assigned all
    candidates that have its highest IoU, if this is at least `min_pos`. This replaces earlier
    assignments, and later boxes replace earlier ones. G = 0 makes all candidates negative. Same as
    mmdet MaxIoUAssigner with gt_max_assign_all.
    """
    ground_truths, candidates = iou.shape
    if ground_truths == 0 or candidates == 0:
        return np.full(candidates, NEGATIVE, np.int64)
    best_row = iou.argmax(axis=0)
    best_iou = iou[best_row, np.arange(candidates)]
    matched = np.where(best_iou < neg, NEGATIVE, IGNORED).astype(np.int64)
    matched[best_iou >= pos] = best_row[best_iou >= pos]
    if low_quality:
        own_best = iou.max(axis=1)
        for row in np.flatnonzero(own_best >= min_pos):
            matched[iou[row] == own_best[row]] = row
    return matched
