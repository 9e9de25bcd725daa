"""Formats and overlaps of boxes in numpy arrays; `boxes.py` has functions for tensors.

xyxy are corners. xywh are left, top, width and height as in COCO. Both are in continuous
coordinates (no + 1). N, M: numbers of boxes.
"""

from __future__ import annotations

import numpy as np

UNION_FLOOR = 1e-6
"""Lower limit of the union that an intersection is divided by (mmdet `bbox_overlaps`, eps)."""


def xywh_to_xyxy(boxes_xywh: np.ndarray) -> np.ndarray:
    """Left, top, width, height (..., 4) -> corners, in a new array."""
    low = boxes_xywh[..., :2]
    return np.concatenate([low, low + boxes_xywh[..., 2:]], axis=-1)


def xyxy_to_xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Corners (..., 4) -> left, top, width, height, in a new array."""
    low = boxes_xyxy[..., :2]
    return np.concatenate([low, boxes_xyxy[..., 2:] - low], axis=-1)


def broadcast_iou(boxes_xyxy: np.ndarray, others_xyxy: np.ndarray) -> np.ndarray:
    """IoU of boxes (..., 4) with others (..., 4), which broadcast; keeps their type.

    A degenerate box has IoU 0 with all others, as in mmcv's `nms`.
    """
    left, top, right, bottom = np.moveaxis(boxes_xyxy, -1, 0)
    left2, top2, right2, bottom2 = np.moveaxis(others_xyxy, -1, 0)
    width = np.minimum(right, right2) - np.maximum(left, left2)
    height = np.minimum(bottom, bottom2) - np.maximum(top, top2)
    intersection = np.maximum(width, 0) * np.maximum(height, 0)
    areas = np.maximum(right - left, 0) * np.maximum(bottom - top, 0)
    areas2 = np.maximum(right2 - left2, 0) * np.maximum(bottom2 - top2, 0)
    union = areas + areas2 - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)


def paired_iou(
    first_xywh: np.ndarray, second_xywh: np.ndarray, second_is_crowd: np.ndarray | None = None
) -> np.ndarray:
    """IoU (P,) of the boxes in the same column of two (4, P) arrays, as pycocotools' bbIou.

    Where `second_is_crowd` (P,), the intersection is divided by the area of the first box.
    """
    (x1, y1, width1, height1), (x2, y2, width2, height2) = first_xywh, second_xywh
    width = np.minimum(width1 + x1, width2 + x2) - np.maximum(x1, x2)
    height = np.minimum(height1 + y1, height2 + y2) - np.maximum(y1, y2)
    intersection = np.where((width > 0) & (height > 0), width * height, 0.0)
    union = width1 * height1 + width2 * height2 - intersection
    if second_is_crowd is not None:
        union = np.where(second_is_crowd, width1 * height1, union)
    return np.divide(intersection, union, out=np.zeros_like(union), where=intersection > 0)


def pairwise_iou_numpy(boxes_xyxy: np.ndarray, others_xyxy: np.ndarray) -> np.ndarray:
    """IoU of all pairs in float32, for matchers: (N, 4), (M, 4) -> (N, M)."""
    shared, union = _pairwise_overlaps(boxes_xyxy, others_xyxy)
    return shared / np.maximum(union, np.float32(UNION_FLOOR))


def pairwise_giou_numpy(
    boxes_xyxy: np.ndarray, others_xyxy: np.ndarray, floor: float = UNION_FLOOR
) -> np.ndarray:
    """Generalized IoU (arXiv 1902.09630) of all pairs: (N, 4), (M, 4) -> (N, M)."""
    shared, union = _pairwise_overlaps(boxes_xyxy, others_xyxy)
    low = np.minimum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    high = np.maximum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    hull = np.maximum(np.prod(np.maximum(high - low, 0), axis=-1), np.float32(floor))
    return shared / np.maximum(union, np.float32(floor)) - (hull - union) / hull


def _pairwise_overlaps(
    boxes_xyxy: np.ndarray, others_xyxy: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intersections and unions (N, M) in float32."""
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
    return shared, own[:, None] + other[None, :] - shared
