"""Distances as distributions over whole numbers of strides (Generalized Focal Loss, 2006.04388).

A box is read off a point by its distances left, top, right, bottom. N images, P points, K bins.
"""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.boxes import Array, as_var


def expected_bins(logits_NPS: jt.Var, bins: int) -> jt.Var:
    """Mean bin of each side: (..., 4 * bins) side by side -> (..., 4), in 0 .. bins - 1.

    nanodet model/head/gfl_head.py `Integral`, lines 36-67.
    """
    shape = logits_NPS.shape[:-1]
    probabilities = nn.softmax(logits_NPS.reshape((-1, bins)), dim=1)
    means = (probabilities * jt.array(np.arange(bins, dtype=np.float32)[None])).sum(dim=1)
    return means.reshape((*shape, 4))


def boxes_around(points_P2: Array, distances: jt.Var) -> jt.Var:
    """xyxy boxes (..., P, 4) from distances (..., P, 4) left, top, right, bottom, in pixels."""
    points = as_var(points_P2).broadcast(distances[..., :2])
    return jt.concat([points - distances[..., :2], points + distances[..., 2:]], dim=-1)


def distances_to(points_P2: np.ndarray, boxes_P4: np.ndarray) -> np.ndarray:
    """(P, 4) left, top, right, bottom from each point to the sides of its box; numpy."""
    return np.concatenate([points_P2 - boxes_P4[:, :2], boxes_P4[:, 2:] - points_P2], axis=1)
