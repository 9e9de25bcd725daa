"""Formats, areas, overlaps and clipping of axis-aligned boxes, for tensors.

`numpy_boxes.py` has functions for numpy arrays. `boxes_xyxy` are (x1, y1, x2, y2) float32 in
absolute pixels and continuous coordinates: the width is x2 - x1, without + 1. N, M: numbers of
boxes.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import jittor as jt
import numpy as np

from unidet.ops.numpy_boxes import UNION_FLOOR

Array: TypeAlias = jt.Var | np.ndarray
"""A tensor, or a numpy array where no gradient is needed."""
AnyArray = TypeVar("AnyArray", jt.Var, np.ndarray)
Size: TypeAlias = tuple[float, float] | np.ndarray
"""(height, width) in pixels: one pair for all boxes, or an array (N, 2) with a row per box."""

RELATIVE_FLOOR = 1e-12
"""Replaces `UNION_FLOOR` for boxes relative to the image size; RT-DETR and DETR have no floor."""


def as_var(values: Array) -> jt.Var:
    """Tensor of `values`; a tensor is returned as it is."""
    return jt.array(values) if isinstance(values, np.ndarray) else values


def of_the_kind(values: np.ndarray, other: AnyArray) -> AnyArray:
    """A tensor of `values` where the other is one."""
    return values if isinstance(other, np.ndarray) else jt.array(values)


def cxcywh_to_xyxy(boxes_cxcywh: AnyArray) -> AnyArray:
    """(..., 4) centre, width and height -> corners."""
    half = boxes_cxcywh[..., 2:] * 0.5
    return joined(boxes_cxcywh[..., :2] - half, boxes_cxcywh[..., :2] + half)


def xyxy_to_cxcywh(boxes_xyxy: AnyArray) -> AnyArray:
    """(..., 4) corners -> centre, width and height."""
    low, high = boxes_xyxy[..., :2], boxes_xyxy[..., 2:]
    return joined((low + high) * 0.5, high - low)


def joined(left: AnyArray, right: AnyArray) -> AnyArray:
    """Both, one after the other along the last axis."""
    if isinstance(left, np.ndarray):
        return np.concatenate([left, right], axis=-1)
    return jt.concat([left, right], dim=-1)


def areas(boxes_xyxy: jt.Var) -> jt.Var:
    """Width * height of boxes, (..., 4) -> (...); negative where exactly one side is inverted."""
    return (boxes_xyxy[..., 2] - boxes_xyxy[..., 0]) * (boxes_xyxy[..., 3] - boxes_xyxy[..., 1])


def intersections(boxes_xyxy: jt.Var, others_xyxy: jt.Var) -> jt.Var:
    """Areas of the intersections of boxes (..., 4) and others (..., 4), which broadcast."""
    left = jt.maximum(boxes_xyxy[..., 0], others_xyxy[..., 0])
    top = jt.maximum(boxes_xyxy[..., 1], others_xyxy[..., 1])
    right = jt.minimum(boxes_xyxy[..., 2], others_xyxy[..., 2])
    bottom = jt.minimum(boxes_xyxy[..., 3], others_xyxy[..., 3])
    return jt.maximum(right - left, 0.0) * jt.maximum(bottom - top, 0.0)


def elementwise_iou(boxes_xyxy: Array, others_xyxy: Array, floor: float = UNION_FLOOR) -> jt.Var:
    """IoU of the boxes in the same row: (N, 4), (N, 4) -> (N,). `floor`: lower limit of unions."""
    boxes, others = as_var(boxes_xyxy), as_var(others_xyxy)
    shared = intersections(boxes, others)
    return shared / jt.maximum(areas(boxes) + areas(others) - shared, floor)


def clip_boxes(boxes_xyxy: AnyArray, size: Size) -> AnyArray:
    """Clip the corners of boxes (N, 4) to 0 <= x <= width and 0 <= y <= height."""
    limits = np.asarray(size, np.float32)[..., [1, 0, 1, 0]]
    if isinstance(boxes_xyxy, np.ndarray):
        return boxes_xyxy.clip(0, limits)
    return jt.minimum(jt.maximum(boxes_xyxy, 0.0), jt.array(limits).broadcast(boxes_xyxy))
