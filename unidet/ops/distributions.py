"""Box sides as distributions over distance bins (Generalized Focal Loss, arXiv 2006.04388).

A box is given by a point and the distances from it to the left, top, right and bottom side. Bin i
stands for a distance of i strides. P: points.
"""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.boxes import AnyArray, joined, of_the_kind


def expected_bins(logits_NPS: AnyArray, bins: int) -> AnyArray:
    """Expected bin of each side's distribution: (..., 4 * bins) -> (..., 4), in [0, bins - 1].

    Same as nanodet model/head/gfl_head.py `Integral`, lines 36-67.
    """
    sides = (*logits_NPS.shape[:-1], 4)
    probabilities = _softmax(logits_NPS.reshape((-1, bins)))
    numbers_1K = of_the_kind(np.arange(bins, dtype=np.float32)[None], logits_NPS)
    return (probabilities * numbers_1K).sum(1).reshape(sides)


def _softmax(rows: AnyArray) -> AnyArray:
    if not isinstance(rows, np.ndarray):
        return nn.softmax(rows, dim=1)
    powers = np.exp(rows - rows.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def decode_distances(points_P2: np.ndarray, distances: AnyArray) -> AnyArray:
    """xyxy boxes (..., P, 4) of points and distances (..., P, 4) left, top, right, bottom."""
    points = points_P2
    if not isinstance(distances, np.ndarray):
        points = jt.array(points_P2).broadcast(distances[..., :2])
    return joined(points - distances[..., :2], points + distances[..., 2:])


def encode_distances(points_P2: np.ndarray, boxes_P4: np.ndarray) -> np.ndarray:
    """Distances (P, 4) left, top, right, bottom from points to the boxes of the same row; numpy."""
    return np.concatenate([points_P2 - boxes_P4[:, :2], boxes_P4[:, 2:] - points_P2], axis=1)
