"""Outlines of the shapes, and masks of outlines.

An outline is a list of closed loops, (V, 2) float64 x, y: the first is the border, any others are
holes. Unit outlines are centred and their longer side is 1.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw

from unidet.data.toy.vocabulary import SHAPES

Outline = list[np.ndarray]

# Masks are drawn this many times larger and then averaged.
_FINE = 4


@cache
def unit_outlines() -> tuple[Outline, ...]:
    """The outline of every shape, in the order of SHAPES."""
    loops = {
        "circle": [_arc(0.5, 0, 360)],
        "square": [_points("-1 -1, 1 -1, 1 1, -1 1")],
        "star": [_alternating(5, 0.5, 0.21)],
        "heart": [_heart()],
        "arrow": [_points("-10 -3, 1 -3, 1 -8, 10 0, 1 8, 1 3, -10 3")],
        "cross": [
            _points("-3 -9, 3 -9, 3 -3, 9 -3, 9 3, 3 3, 3 9, -3 9, -3 3, -9 3, -9 -3, -3 -3")
        ],
        "triangle": [_arc(0.5, -90, 270, 4)[:3]],
        "moon": [_moon()],
        "hourglass": [_points("-7 -9, 7 -9, 1.6 0, 7 9, -7 9, -1.6 0")],
        "arch": [np.concatenate([_arc(0.5, 180, 360), _legs(), _arc(0.22, 360, 180)])],
        "ring": [_arc(0.5, 0, 360), _arc(0.25, 0, 360)],
        "bolt": [_points("5 -10, -10 4, -1.5 4, -5 10, 10 -4, 1.5 -4")],
    }
    return tuple(_unit(loops[name]) for name in SHAPES)


def place(outline: Outline, size: float, angle: float, centre: tuple[float, float]) -> Outline:
    """A unit outline scaled to `size` pixels, turned by `angle` radians and moved to `centre`."""
    cosine, sine = np.cos(angle) * size, np.sin(angle) * size
    turn = np.array([[cosine, sine], [-sine, cosine]])
    return [loop @ turn + centre for loop in outline]


def bounds(outline: Outline) -> np.ndarray:
    """(4,) float64 x1, y1, x2, y2 of the border."""
    return np.concatenate([outline[0].min(axis=0), outline[0].max(axis=0)])


def area(outline: Outline) -> float:
    """Square pixels inside the border and outside the holes."""
    sizes = []
    for loop in outline:
        x, y = loop.T
        sizes.append(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
    return float(sizes[0] - sum(sizes[1:]))


def single_loop(outline: Outline) -> np.ndarray:
    """(V, 2) one loop that fills the same pixels: a slit of no width leads to each hole and back.

    COCO's polygons cannot say "hole": several polygons of one object are united.
    """
    border, *holes = outline
    loops = [border, border[:1]]
    for hole in holes:
        loops += [hole[:1], hole[::-1], border[:1]]
    return np.concatenate(loops) if holes else border


def fill(outline: Outline, width: int, height: int, border: float = 0.0) -> np.ndarray:
    """Share of each pixel that the outline covers.

    Args:
        outline: in pixels of the mask's frame.
        width, height: of the mask.
        border: where above 0, only the rim of this many pixels within the outline.

    Returns:
        (height, width) float32 in 0..1.
    """
    image = Image.new("L", (width * _FINE, height * _FINE))
    draw = ImageDraw.Draw(image)
    # PIL counts from pixel centres.
    loops = [(loop * _FINE - 0.5).ravel().tolist() for loop in outline]
    if border:
        for loop in loops:
            draw.line([*loop, *loop[:4]], 255, round(2 * border * _FINE), joint="curve")
    else:
        for loop, value in zip(loops, [255] + [0] * len(loops), strict=False):
            draw.polygon(loop, fill=value)
    return np.asarray(image.reduce(_FINE), np.float32) / 255


def _unit(loops: Outline) -> Outline:
    low, high = loops[0].min(axis=0), loops[0].max(axis=0)
    return [(loop - (low + high) / 2) / (high - low).max() for loop in loops]


def _points(text: str) -> np.ndarray:
    return np.array([[float(value) for value in pair.split()] for pair in text.split(",")])


def _arc(radius: float, first: float, last: float, count: int = 33) -> np.ndarray:
    """`count` points from `first` to `last` degrees; a full turn does not repeat its first."""
    turn = np.radians(np.linspace(first, last, count))
    if abs(last - first) == 360 and count > 4:
        turn = turn[:-1]
    return radius * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _alternating(count: int, outer: float, inner: float) -> np.ndarray:
    turn = np.arange(2 * count) * np.pi / count - np.pi / 2
    radius = np.where(np.arange(2 * count) % 2 == 0, outer, inner)
    return radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 41)[:-1]
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([16 * np.sin(t) ** 3, -y], axis=1)


def _moon() -> np.ndarray:
    """A disc of radius 1 less a disc of radius 0.85 whose centre lies 0.6 to the right."""
    x = (1 - 0.85**2 + 0.6**2) / 1.2
    outer, inner = np.degrees(np.arccos(x)), np.degrees(np.arccos((x - 0.6) / 0.85))
    bite = _arc(0.85, 360 - inner, inner)[1:-1] + np.array([0.6, 0])
    return np.concatenate([_arc(1, outer, 360 - outer), bite])


def _legs() -> np.ndarray:
    return np.array([[0.5, 0.45], [0.22, 0.45]])
