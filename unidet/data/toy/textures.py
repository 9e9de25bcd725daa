"""Textures of objects: the fraction of the second colour at every pixel."""

from __future__ import annotations

import numpy as np

from unidet.data.toy.shapes import Outline, fill
from unidet.data.toy.vocabulary import COLOURS, TEXTURES

_PALETTE = {
    "red": (214, 40, 44),
    "orange": (246, 137, 20),
    "yellow": (246, 222, 48),
    "green": (46, 158, 62),
    "cyan": (50, 202, 214),
    "blue": (40, 78, 208),
    "purple": (134, 52, 178),
    "pink": (248, 130, 184),
    "brown": (128, 78, 36),
}
# Where a texture is finer than this it cannot be told from a mixed colour.
_LEAST_PERIOD, _LEAST_RIM = 5.0, 1.8


def draw_colours(colour: int, rng: np.random.Generator) -> np.ndarray:
    """(2, 3) float32 RGB: the named colour, slightly varied, and a near-black or near-white."""
    first = np.array(_PALETTE[COLOURS[colour]]) + rng.uniform(-14, 14, 3)
    dark = rng.random() < 0.5
    second = rng.uniform(8, 40, 3) if dark else rng.uniform(222, 250, 3)
    return np.clip(np.stack([first, second]), 0, 255).astype(np.float32)


def second_colour(
    texture: int,
    outline: Outline,
    mask: np.ndarray,
    size: float,
    angle: float,
    rng: np.random.Generator,
    scale: float = 1.0,
) -> np.ndarray:
    """Share of the second colour at every pixel of an object's patch.

    Args:
        outline: in pixels of the patch.
        mask: (h, w) the patch's mask, for its extent.
        size, angle: of the object, pixels and radians; the texture turns with it.
        rng: draws period and phase.
        scale: pixels of the image per pixel of the world.

    Returns:
        (h, w) float32 in 0..1.
    """
    period = max(size * rng.uniform(0.2, 0.28), _LEAST_PERIOD * scale)
    phases = rng.random(2)
    kind = TEXTURES[texture]
    if kind == "solid":
        return np.zeros_like(mask)
    if kind == "framed":
        rim = max(0.09 * size, _LEAST_RIM * scale)
        return fill(outline, mask.shape[1], mask.shape[0], border=rim)
    if kind == "checkered":
        period *= 1.5
    across, along = _waves(outline, mask.shape, angle, period, phases)
    if kind == "striped":
        return np.clip((0.25 - across) * period + 0.5, 0, 1)
    if kind == "dotted":
        return np.clip((0.31 - np.hypot(across, along)) * period + 0.5, 0, 1)
    first, second = (np.clip((0.25 - wave) * period + 0.5, 0, 1) for wave in (across, along))
    return first + second - 2 * first * second


def _waves(
    outline: Outline, extent: tuple[int, ...], angle: float, period: float, phases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distance to the nearest wave crest across and along the object, in periods: 0..0.5."""
    centre = outline[0].mean(axis=0)
    y = np.arange(extent[0], dtype=np.float32)[:, None] + np.float32(0.5 - centre[1])
    x = np.arange(extent[1], dtype=np.float32)[None, :] + np.float32(0.5 - centre[0])
    cosine, sine = np.float32(np.cos(angle) / period), np.float32(np.sin(angle) / period)
    across = x * cosine + y * sine + np.float32(phases[0])
    along = y * cosine - x * sine + np.float32(phases[1])
    return np.abs(across - np.rint(across)), np.abs(along - np.rint(along))
