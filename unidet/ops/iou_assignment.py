"""Which ground-truth box each anchor or proposal stands for.

G ground-truth boxes, A candidates. Runs on the CPU in numpy.
"""

from __future__ import annotations

import numpy as np

NEGATIVE = -1
IGNORED = -2


def match_by_max_iou(
    iou: np.ndarray, pos: float, neg: float, min_pos: float, low_quality: bool
) -> np.ndarray:
    """(G, A) IoUs -> (A,) int64: ground-truth row >= 0, NEGATIVE or IGNORED.

    A candidate whose best IoU is below `neg` is negative, at least `pos` takes that box, between
    them is ignored. With `low_quality` every box then claims all candidates that tie its own best
    IoU, if that is at least `min_pos`, over earlier decisions; later boxes win over earlier ones.
    G = 0 makes everything negative. mmdet MaxIoUAssigner, gt_max_assign_all.
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
