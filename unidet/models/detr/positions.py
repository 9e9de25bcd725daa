"""Where a feature map's cells lie: DETR's padding mask and its sine position embedding.

N images, H and W pixels of the padded batch, h and w cells. Source: detr models/backbone.py,
models/position_encoding.py lines 28-48.
"""

from __future__ import annotations

import math

import numpy as np

TEMPERATURE = 10000.0
LEAST = 1e-6


def padding_mask(
    sizes_N2: np.ndarray, padded: tuple[int, int], cells: tuple[int, int]
) -> np.ndarray:
    """(N, h, w) bool, True on padding: what nearest interpolation makes of the pixels' mask."""
    rows, columns = (
        np.arange(count) * side // count for count, side in zip(cells, padded, strict=True)
    )
    below = rows[None, :] >= sizes_N2[:, :1]
    beside = columns[None, :] >= sizes_N2[:, 1:]
    return below[:, :, None] | beside[:, None, :]


def position_embedding(mask_Nhw: np.ndarray, channels: int) -> np.ndarray:
    """(N, channels, h, w) float32: half for y, half for x; even features sines, odd ones cosines.

    A cell's place is its number among the unpadded cells of its column (row), from 1, divided by
    their count, times 2 pi.
    """
    inside = ~mask_Nhw
    half = channels // 2
    index = np.arange(half)
    speeds = (TEMPERATURE ** (2 * (index // 2) / half)).astype(np.float32)
    parts = []
    for axis in (1, 2):
        number = inside.cumsum(axis=axis, dtype=np.float32)
        last = number.take([-1], axis=axis)
        angles = (number / (last + np.float32(LEAST)) * np.float32(2 * math.pi))[..., None] / speeds
        parts.append(np.where(index % 2 == 0, np.sin(angles), np.cos(angles)))
    return np.concatenate(parts, axis=3).transpose(0, 3, 1, 2).astype(np.float32)
