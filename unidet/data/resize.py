"""Bilinear resize of 8-bit images: as mmcv, and as torchvision.

`resize_bilinear` is OpenCV's `INTER_LINEAR`, which mmcv uses. Where OpenCV cannot be loaded,
`resize_in_numpy` gives the same bits in ten times the time.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from unidet.data.opencv import load_opencv

_ONE = 2048
_BLOCK = 16  # output rows at a time: the working set stays in the cache


def resize_bilinear(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize (H, W, C) uint8 to (height, width, C) uint8."""
    if image.shape[:2] == (height, width):
        return image
    opencv = load_opencv()
    if opencv is None:
        return resize_in_numpy(image, width, height)
    resized = opencv.resize(image, (width, height), interpolation=opencv.INTER_LINEAR)
    return np.asarray(resized).reshape(height, width, image.shape[2])


def resize_smoothly(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """The same by Pillow, which weighs all pixels under a smaller one's: what torchvision does to
    an image that Pillow has read."""
    if image.shape[:2] == (height, width):
        return image
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def resize_in_numpy(image: np.ndarray, width: int, height: int) -> np.ndarray:
    """OpenCV's resize without OpenCV; shapes as above.

    Pixel centres at half-integers and no smoothing when shrinking (Pillow's bilinear smooths), in
    OpenCV's fixed point: weights in 1/2048, columns first (imgproc/src/resize.cpp,
    `HResizeLinear`, `VResizeLinear<uchar, int, short, FixedPtCast<int, uchar, 22>>`).
    """
    row_0, row_1, weight_0, weight_1 = _taps(image.shape[0], height)
    # Rows that are looked at, and no others: memory follows the new size, however high the image.
    rows = np.unique((row_0, row_1))
    row_0, row_1 = np.searchsorted(rows, (row_0, row_1))
    columns = _stretch_columns(image if len(rows) == len(image) else image[rows], width)
    weight_0, weight_1 = weight_0[:, None], weight_1[:, None]
    out = np.empty((height, columns.shape[1]), np.uint8)
    for first in range(0, height, _BLOCK):
        block = slice(first, first + _BLOCK)
        upper = columns[row_0[block]]
        upper *= weight_0[block]
        upper >>= 16
        lower = columns[row_1[block]]
        lower *= weight_1[block]
        lower >>= 16
        upper += lower
        upper += 2
        upper >>= 2
        out[block] = upper
    return out.reshape(height, width, image.shape[2])


def _stretch_columns(image: np.ndarray, width: int) -> np.ndarray:
    """Interpolate along the width: (H, width * C) int32, in 1/128 grey levels."""
    height, old_width, channels = image.shape
    left, right, weight_0, weight_1 = _taps(old_width, width)
    # at the borders OpenCV moves the weight to the one pixel that exists
    single = left == right
    weight_0, weight_1 = np.where(single, _ONE, weight_0), np.where(single, 0, weight_1)
    channel = np.arange(channels)
    left, right = ((taps[:, None] * channels + channel).ravel() for taps in (left, right))
    weight_0, weight_1 = np.repeat(weight_0, channels), np.repeat(weight_1, channels)
    flat = np.ascontiguousarray(image).reshape(height, old_width * channels)
    out = np.empty((height, width * channels), np.int32)
    for first in range(0, height, _BLOCK):
        rows = flat[first : first + _BLOCK]
        stretched = rows.take(left, axis=1).astype(np.int32)
        stretched *= weight_0
        stretched += rows.take(right, axis=1) * weight_1
        stretched >>= 4
        out[first : first + _BLOCK] = stretched
    return out


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two source positions for each of `new` places, and their weights in 1/2048, int32 all."""
    step = 1.0 / (new / old)
    place = ((np.arange(new) + 0.5) * step - 0.5).astype(np.float32)
    below = np.floor(place).astype(np.int32)
    fraction = place - below.astype(np.float32)
    weights = [np.rint(part * np.float32(_ONE)) for part in (np.float32(1) - fraction, fraction)]
    weight_0, weight_1 = (weight.astype(np.int32) for weight in weights)
    return np.clip(below, 0, old - 1), np.clip(below + 1, 0, old - 1), weight_0, weight_1
