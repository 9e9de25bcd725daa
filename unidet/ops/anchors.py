"""Anchors, or one point, per cell of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def grid_anchors(
    height: int,
    width: int,
    stride: int,
    scales: Sequence[float],
    ratios: Sequence[float] = (1.0,),
) -> np.ndarray:
    """Anchors (height * width * ratios * scales, 4) float32 in image pixels, row by row.

    Every cell has one of each ratio (height / width) and in it of each scale, whose area is
    (scale * stride)^2, centred on (column * stride, row * stride): mmdet AnchorGenerator with
    center_offset 0.
    """
    roots = np.sqrt(np.array(ratios, np.float32))[:, None]
    sides = np.array(scales, np.float32)[None]
    widths = (np.float32(stride) * (1 / roots) * sides).ravel()
    heights = (np.float32(stride) * roots * sides).ravel()
    half = np.stack([widths, heights], axis=1) * np.float32(0.5)
    centres = grid_points(height, width, stride)[:, None]
    return np.concatenate([centres - half, centres + half], axis=2).reshape(-1, 4)


def grid_points(height: int, width: int, stride: int) -> np.ndarray:
    """(height * width, 2) float32: x, y of every cell's top left corner, row by row."""
    x, y = np.meshgrid(np.arange(width) * stride, np.arange(height) * stride)
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def inside(anchors: np.ndarray, height: float, width: float) -> np.ndarray:
    """(A,) bool: anchors that lie wholly in the image; the far border itself is outside.

    mmdet/core/anchor/utils.py `anchor_inside_flags`, allowed_border 0.
    """
    return (
        (anchors[:, 0] >= 0)
        & (anchors[:, 1] >= 0)
        & (anchors[:, 2] < width)
        & (anchors[:, 3] < height)
    )


def centerness(anchors: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How central each anchor's centre lies in its box: (A, 4), (A, 4) -> (A,) in [0, 1].

    sqrt(min(t, b) / max(t, b) * min(l, r) / max(l, r)), and 0 where the centre is not strictly
    inside. OLN's objectness target, oln_rpn_head.py lines 350-376.
    """
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = centres - boxes[:, :2], boxes[:, 2:] - centres
    within = (before > 0).all(axis=1) & (after > 0).all(axis=1)
    ratios = np.minimum(before, after) / (np.maximum(before, after) + 1e-12)
    return np.sqrt(np.where(within, ratios.prod(axis=1), 0)).astype(np.float32)
