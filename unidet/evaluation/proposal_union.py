"""Merges the proposals of several networks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unidet.evaluation.soft_nms import Suppression, suppressor


def union(proposals: Sequence[np.ndarray], keep: int, nms: float) -> np.ndarray:
    """The best boxes among the proposals of several networks for one image.

    Scores of different networks are not comparable, so ranks are used: the r-th best of any network
    scores 1 - r / `keep`, with r from 0. Of boxes that overlap by more than `nms` the higher score
    stays, with equal scores the one of the network that comes first.

    Args:
        proposals: of each network (P, 5) xyxy + score, best first, P up to `keep`.

    Returns:
        (Q, 5) float32 xyxy + score, best first, Q up to `keep`.
    """
    boxes = np.concatenate([rows[:, :4] for rows in proposals]).astype(np.float32)
    ranks = np.concatenate([np.arange(len(rows)) for rows in proposals])
    scores = (1 - ranks / keep).astype(np.float32)
    rule = Suppression("hard", iou_threshold=nms, score_threshold=0.0, max_per_image=keep)
    ((kept, _, kept_scores),) = suppressor(boxes, rule)([scores[None, :, None]])
    return np.concatenate([boxes[kept], kept_scores[:, None]], axis=1)
