"""NanoDet-Plus's augmentation: random placement and colours.

Sources: nanodet data/transform/warp.py, data/transform/color.py. Images here are sampled by pixel
centres, as everywhere in unidet; there by pixel indices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Placement:
    """Where the image lies in its new frame: new = old * scale + shift, (2,) x and y each."""

    scale: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class Augmentation:
    """Ranges to draw from.

    Attributes:
        scale: of the image, on top of the resize to its frame.
        stretch: the same for either axis by itself.
        centre: where the image's centre comes to lie, in fractions of the frame.
        brightness: largest addend either way, of values from 0 to 1.
        contrast, saturation: factors; these three each in every second image.
    """

    scale: Range
    stretch: Range
    centre: Range
    brightness: float
    contrast: Range
    saturation: Range

    def placement(
        self, old: tuple[int, int], new: tuple[int, int], rng: np.random.Generator
    ) -> Placement:
        """For an image of `old` (width, height) in a frame of `new`."""
        size = np.array(new, np.float64)
        larger = rng.uniform(*self.scale) * rng.uniform(*self.stretch, 2)
        centre = rng.uniform(*self.centre, 2)
        return Placement(larger * size / old, size * (centre - larger / 2))

    def recolour(self, pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """8-bit values (..., 3) as float32, which may leave 0 .. 255."""
        values = pixels.astype(np.float32)
        if rng.random() < 0.5:
            values += np.float32(255 * rng.uniform(-self.brightness, self.brightness))
        if rng.random() < 0.5:
            values *= np.float32(rng.uniform(*self.contrast))
        if rng.random() < 0.5:
            values = saturated(values, rng.uniform(*self.saturation))
        return values


def saturated(values: np.ndarray, factor: float) -> np.ndarray:
    """(..., 3) colours whose saturation, in terms of hue, saturation and value, is multiplied."""
    value = values.max(axis=-1, keepdims=True)
    return value - np.float32(factor) * (value - values)


def place(image: np.ndarray, width: int, height: int, placement: Placement) -> np.ndarray:
    """(H, W, C) uint8 in a black frame (height, width, C), bilinear, without smoothing."""
    row_0, row_1, upper, lower = _taps(image.shape[0], height, *_along(placement, 1))
    rows = image[row_0] * upper[:, None, None] + image[row_1] * lower[:, None, None]
    column_0, column_1, left, right = _taps(image.shape[1], width, *_along(placement, 0))
    pixels = rows[:, column_0] * left[:, None] + rows[:, column_1] * right[:, None]
    return np.rint(pixels).astype(np.uint8)


def _along(placement: Placement, axis: int) -> tuple[float, float]:
    return float(placement.scale[axis]), float(placement.shift[axis])


def _taps(
    old: int, new: int, scale: float, shift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Two source positions for each of `new` places, and their weights, 0 outside the image."""
    place = (np.arange(new) + 0.5 - shift) / scale - 0.5
    below = np.floor(place).astype(np.int64)
    fraction = place - below
    positions, weights = [], []
    for position, weight in ((below, 1 - fraction), (below + 1, fraction)):
        is_inside = (position >= 0) & (position < old)
        positions.append(position.clip(0, old - 1))
        weights.append(np.where(is_inside, weight, 0).astype(np.float32))
    return positions[0], positions[1], weights[0], weights[1]
