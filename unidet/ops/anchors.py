"""Anchors and anchor points of the cells of a feature map."""

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

    Each cell has one anchor for each pair of a ratio (height / width) and a scale; the scales vary
    fastest. An anchor has the area (scale * stride)^2 and its centre at (column * stride,
    row * stride). Same as mmdet AnchorGenerator with center_offset 0.
    """
    roots = np.sqrt(np.array(ratios, np.float32))[:, None]
    sides = np.array(scales, np.float32)[None]
    widths = (np.float32(stride) * (1 / roots) * sides).ravel()
    heights = (np.float32(stride) * roots * sides).ravel()
    half = np.stack([widths, heights], axis=1) * np.float32(0.5)
    centres = grid_points(height, width, stride)[:, None]
    return np.concatenate([centres - half, centres + half], axis=2).reshape(-1, 4)


def grid_points(height: int, width: int, stride: int) -> np.ndarray:
    """Top left corners (x, y) of all cells, row by row: (height * width, 2) float32, in pixels."""
    x, y = np.meshgrid(np.arange(width) * stride, np.arange(height) * stride)
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def anchors_inside(anchors: np.ndarray, height: float, width: float) -> np.ndarray:
    """Which anchors lie completely inside the image, (A,) bool.

    An anchor that touches the right or bottom border is outside. Same as
    mmdet/core/anchor/utils.py `anchor_inside_flags` with allowed_border 0.
    """
    return (
        (anchors[:, 0] >= 0)
        & (anchors[:, 1] >= 0)
        & (anchors[:, 2] < width)
        & (anchors[:, 3] < height)
    )


def centerness(anchors: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Centerness of each anchor's centre in the box of the same row: (A, 4), (A, 4) -> (A,).

    With l, t, r, b the distances from the centre to the sides of the box, centerness is
    sqrt(min(t, b) / max(t, b) * min(l, r) / max(l, r)), in [0, 1]. It is 0 where the centre is not
    strictly inside. This is the objectness target of OLN (oln_rpn_head.py lines 350-376).
    """
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    before, after = centres - boxes[:, :2], boxes[:, 2:] - centres
    within = (before > 0).all(axis=1) & (after > 0).all(axis=1)
    ratios = np.minimum(before, after) / (np.maximum(before, after) + 1e-12)
    return np.sqrt(np.where(within, ratios.prod(axis=1), 0)).astype(np.float32)
