"""Areas, overlaps and clipping of axis-aligned boxes.

Boxes are float32 `boxes_xyxy`: (x1, y1, x2, y2) in absolute pixels, continuous coordinates, so a
box is x2 - x1 wide (no +1). N, M: numbers of boxes.
"""

from __future__ import annotations

from typing import TypeAlias

import jittor as jt
import numpy as np

Array: TypeAlias = jt.Var | np.ndarray
"""A tensor, or a numpy array where no gradient is asked for."""

UNION_FLOOR = 1e-6
"""Smallest union that an overlap is divided by (mmdet `bbox_overlaps`, eps)."""


def as_var(values: Array) -> jt.Var:
    """Tensor of `values`; a tensor is returned as it is."""
    return jt.array(values) if isinstance(values, np.ndarray) else values


def areas(boxes_xyxy: jt.Var) -> jt.Var:
    """(..., 4) boxes -> (...) width * height; negative where exactly one side is inverted."""
    return (boxes_xyxy[..., 2] - boxes_xyxy[..., 0]) * (boxes_xyxy[..., 3] - boxes_xyxy[..., 1])


def intersections(boxes_xyxy: jt.Var, others_xyxy: jt.Var) -> jt.Var:
    """Area shared by boxes (..., 4) and others (..., 4), broadcast against each other."""
    left = jt.maximum(boxes_xyxy[..., 0], others_xyxy[..., 0])
    top = jt.maximum(boxes_xyxy[..., 1], others_xyxy[..., 1])
    right = jt.minimum(boxes_xyxy[..., 2], others_xyxy[..., 2])
    bottom = jt.minimum(boxes_xyxy[..., 3], others_xyxy[..., 3])
    return jt.maximum(right - left, 0.0) * jt.maximum(bottom - top, 0.0)


def elementwise_iou(boxes_xyxy: Array, others_xyxy: Array) -> jt.Var:
    """IoU of row i with row i: (N, 4), (N, 4) -> (N,)."""
    boxes, others = as_var(boxes_xyxy), as_var(others_xyxy)
    shared = intersections(boxes, others)
    return shared / jt.maximum(areas(boxes) + areas(others) - shared, UNION_FLOOR)


def pairwise_iou(boxes_xyxy: Array, others_xyxy: Array) -> jt.Var:
    """IoU of every pair: (N, 4), (M, 4) -> (N, M); N or M may be 0."""
    boxes, others = as_var(boxes_xyxy), as_var(others_xyxy)
    return elementwise_iou(boxes.unsqueeze(1), others.unsqueeze(0))


def pairwise_iou_numpy(boxes_xyxy: np.ndarray, others_xyxy: np.ndarray) -> np.ndarray:
    """`pairwise_iou` on numpy float32 arrays, for the matcher, which runs on the CPU."""
    boxes = np.asarray(boxes_xyxy, np.float32).reshape(-1, 4)
    others = np.asarray(others_xyxy, np.float32).reshape(-1, 4)
    sides = []
    for axis in (0, 1):
        low = np.maximum(boxes[:, None, axis], others[None, :, axis])
        high = np.minimum(boxes[:, None, axis + 2], others[None, :, axis + 2])
        sides.append(np.maximum(high - low, np.float32(0)))
    shared = sides[0] * sides[1]
    own = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    other = (others[:, 2] - others[:, 0]) * (others[:, 3] - others[:, 1])
    return shared / np.maximum(own[:, None] + other[None, :] - shared, np.float32(UNION_FLOOR))


def clip_boxes(boxes_xyxy: jt.Var, height: float, width: float) -> jt.Var:
    """Move every corner of (N, 4) boxes into 0 <= x <= width, 0 <= y <= height."""
    limits = jt.array(np.array([width, height, width, height], np.float32))
    return jt.minimum(jt.maximum(boxes_xyxy, 0.0), limits.broadcast(boxes_xyxy))
