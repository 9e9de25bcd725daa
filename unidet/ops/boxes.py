"""Areas, overlaps and clipping of axis-aligned boxes, as tensors; in numpy: `numpy_boxes.py`.

Boxes are float32 `boxes_xyxy`: (x1, y1, x2, y2) in absolute pixels, continuous coordinates, so a
box is x2 - x1 wide (no +1). N, M: numbers of boxes.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import jittor as jt
import numpy as np

from unidet.ops.numpy_boxes import UNION_FLOOR

Array: TypeAlias = jt.Var | np.ndarray
"""A tensor, or a numpy array where no gradient is asked for."""
AnyArray = TypeVar("AnyArray", jt.Var, np.ndarray)
Size: TypeAlias = tuple[float, float] | np.ndarray
"""(height, width) in pixels: a pair for all boxes, or (N, 2), a row for each of N."""

RELATIVE_FLOOR = 1e-12
"""Instead of `UNION_FLOOR` for boxes in units of the image's sides; RT-DETR and DETR have none."""


def as_var(values: Array) -> jt.Var:
    """Tensor of `values`; a tensor is returned as it is."""
    return jt.array(values) if isinstance(values, np.ndarray) else values


def cxcywh_to_xyxy(boxes_cxcywh: AnyArray) -> AnyArray:
    """(..., 4) centre, width and height -> corners."""
    half = boxes_cxcywh[..., 2:] * 0.5
    return _joined(boxes_cxcywh[..., :2] - half, boxes_cxcywh[..., :2] + half)


def xyxy_to_cxcywh(boxes_xyxy: AnyArray) -> AnyArray:
    """(..., 4) corners -> centre, width and height."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return _joined((low + high) * 0.5, high - low)


def _joined(left: AnyArray, right: AnyArray) -> AnyArray:
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right], axis=-1)
    return jt.concat([left, right], dim=-1)


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


def elementwise_iou(boxes_xyxy: Array, others_xyxy: Array, floor: float = UNION_FLOOR) -> jt.Var:
    """IoU of row i with row i: (N, 4), (N, 4) -> (N,); unions count as `floor` at least."""
    boxes, others = as_var(boxes_xyxy), as_var(others_xyxy)
    shared = intersections(boxes, others)
    return shared / jt.maximum(areas(boxes) + areas(others) - shared, floor)


def clip_boxes(boxes_xyxy: jt.Var, size: Size) -> jt.Var:
    """Move every corner of (N, 4) boxes into 0 <= x <= width, 0 <= y <= height."""
    limits = jt.array(np.asarray(size, np.float32)[..., [1, 0, 1, 0]])
    return jt.minimum(jt.maximum(boxes_xyxy, 0.0), limits.broadcast(boxes_xyxy))
