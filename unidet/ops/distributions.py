"""Box sides as distributions over distance bins (Generalized Focal Loss, arXiv 2006.04388).

A box is given by a point and the distances from it to the left, top, right and bottom side. Bin i
stands for a distance of i strides. P: points.
"""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.boxes import Array, as_var


def expected_bins(logits_NPS: jt.Var, bins: int) -> jt.Var:
    """Expected bin of each side's distribution: (..., 4 * bins) -> (..., 4), in [0, bins - 1].

    Same as nanodet model/head/gfl_head.py `Integral`, lines 36-67.
    """
    shape = logits_NPS.shape[:-1]
    probabilities = nn.softmax(logits_NPS.reshape((-1, bins)), dim=1)
    means = (probabilities * jt.array(np.arange(bins, dtype=np.float32)[None])).sum(dim=1)
    return means.reshape((*shape, 4))


def decode_distances(points_P2: Array, distances: jt.Var) -> jt.Var:
    """xyxy boxes (..., P, 4) of points and distances (..., P, 4) left, top, right, bottom."""
    points = as_var(points_P2).broadcast(distances[..., :2])
    return jt.concat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)


def encode_distances(points_P2: np.ndarray, boxes_P4: np.ndarray) -> np.ndarray:
    """Distances (P, 4) left, top, right, bottom from points to the boxes of the same row; numpy."""
    return np.concatenate([points_P2 - boxes_P4[:, :2], boxes_P4[:, 2:] - points_P2], axis=1)
