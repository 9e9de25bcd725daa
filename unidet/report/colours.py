"""Colours of categories and scores in drawings, distinguishable for colour-blind readers."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import matplotlib
import numpy as np

Colour = tuple[int, int, int]

CATEGORIES: tuple[Colour, ...] = (
    (0, 252, 207),
    (148, 0, 230),
    (204, 51, 17),
    (255, 255, 0),
    (68, 119, 170),
    (106, 2, 19),
    (230, 159, 0),
    (159, 1, 98),
    (255, 178, 253),
    (238, 102, 119),
    (0, 60, 134),
    (255, 113, 253),
)
"""From the palettes of Krzywinski, of Okabe and Ito, and of Tol. The CIE76 difference is at least
20, also with protanopia, deuteranopia or tritanopia."""


def colour_of(name: str) -> Colour:
    """A category's colour, which depends on its name only."""
    return CATEGORIES[_place(name)]


def colours_of(names: Sequence[str]) -> list[Colour]:
    """A colour for each of C categories, distinct for the first twelve names.

    Mostly the name's own colour; if it is taken, the next free one.
    """
    taken: dict[str, int] = {}
    used: set[int] = set()
    for name in names:
        if name in taken:
            continue
        if len(used) == len(CATEGORIES):
            used.clear()
        place = _place(name)
        while place in used:
            place = (place + 1) % len(CATEGORIES)
        taken[name] = place
        used.add(place)
    return [CATEGORIES[taken[name]] for name in names]


def score_colour(score: float) -> Colour:
    """Viridis colour of a score in [0, 1]."""
    red, green, blue, _ = matplotlib.colormaps["viridis"](float(np.clip(score, 0, 1)))
    return round(red * 255), round(green * 255), round(blue * 255)


def is_light(colour: Colour) -> bool:
    """Whether black text has more contrast on the colour than white (contrast ratio of WCAG 2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (part / 255 for part in colour)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return (luminance + 0.05) ** 2 > 0.05 * 1.05


def _place(name: str) -> int:
    return zlib.crc32(name.casefold().encode()) % len(CATEGORIES)
