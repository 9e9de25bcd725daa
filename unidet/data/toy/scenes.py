"""One scene: where its objects lie, and what it looks like.

A layout is in world pixels, 192 a side; rendering it at another `size` gives the same scene with
finer or coarser pixels. The later an object, the nearer; every one stays at least 60 % visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from unidet.data.toy.shapes import Outline, area, bounds, fill, place, unit_outlines
from unidet.data.toy.textures import draw_colours, second_colour
from unidet.data.toy.vocabulary import combination_weights, combinations

WORLD = 192
FEWEST, MOST = 3, 8
SMALLEST, LARGEST = 18.0, 96.0
LEAST_VISIBLE = 0.6
_STEEPEST = np.pi / 4
# A place is sought so many times before the object is made a little smaller.
_TRIES, _SHRINK = 12, 0.85


@dataclass(frozen=True)
class Object:
    """One object of a scene, in world pixels.

    Attributes:
        attributes: (3,) int64 shape, colour, texture.
        outline: its whole outline, inside the world also where other objects hide it.
        size: longer side before turning; angle: radians, clockwise.
        visible: share of its pixels that no later object hides.
    """

    attributes: np.ndarray
    outline: Outline
    size: float
    angle: float
    visible: float

    @property
    def box(self) -> np.ndarray:
        """(4,) float64 xyxy, tight around the whole outline."""
        return bounds(self.outline)

    @property
    def area(self) -> float:
        """Square pixels of the whole outline."""
        return area(self.outline)


@dataclass(frozen=True)
class Scene:
    """An image, (size, size, 3) uint8 RGB, and its objects, farthest first."""

    image: np.ndarray
    objects: tuple[Object, ...]


def make_scene(rng: np.random.Generator, space: str | None, size: int = WORLD) -> Scene:
    """Draw a scene whose objects follow `combination_weights(space)`.

    The layout and everything but the sensor noise is the same at every `size` (pixels a side).
    """
    objects = lay_out(rng, space)
    return Scene(_render(objects, rng, size), objects)


def object_count(rng: np.random.Generator) -> int:
    """How many objects the scene has that this fresh generator draws; its first draw."""
    return int(rng.integers(FEWEST, MOST + 1))


def lay_out(rng: np.random.Generator, space: str | None) -> tuple[Object, ...]:
    """Draw the objects of a scene and their places."""
    count = object_count(rng)
    drawn = combinations()[_draw(rng, combination_weights(space), count)]
    places: list[tuple[Outline, float, float]] = []
    view = _View(count)
    for row, attributes in enumerate(drawn):
        size = SMALLEST * (LARGEST / SMALLEST) ** rng.random()
        places.append(_find_place(rng, int(attributes[0]), size, view, row))
    return tuple(
        Object(attributes, outline, size, angle, float(visible))
        for attributes, (outline, size, angle), visible in zip(
            drawn, places, view.seen / view.covered, strict=True
        )
    )


def _draw(rng: np.random.Generator, weights: np.ndarray, count: int) -> np.ndarray:
    edges = np.cumsum(weights)
    return np.searchsorted(edges, rng.random(count) * edges[-1], side="right")


def _find_place(
    rng: np.random.Generator, shape: int, size: float, view: _View, row: int
) -> tuple[Outline, float, float]:
    """Turn and move a shape until it lies inside the world and hides nothing too much; put it
    there as object `row`.

    After some tries the shape is made smaller; the smallest size is tried for as long as it takes.
    """
    unit = unit_outlines()[shape]
    attempt = 0
    while True:
        angle = float(rng.uniform(-_STEEPEST, _STEEPEST))
        turned = place(unit, size, angle, (0.0, 0.0))
        box = bounds(turned)
        centre = rng.uniform(1 - box[:2], WORLD - 1 - box[2:])
        outline = [loop + centre for loop in turned]
        if view.put(row, outline):
            return outline, size, angle
        attempt += 1
        if attempt % _TRIES == 0:
            size = max(SMALLEST, size * _SHRINK)


class _View:
    """Which of the objects placed so far is seen at each pixel of the world.

    Attributes:
        covered: (count,) float64, pixels of each object; 0 where it is not placed yet.
        seen: (count,) int64, those of them that no later object hides.
    """

    def __init__(self, count: int) -> None:
        self.covered = np.zeros(count)
        self.seen = np.zeros(count, np.int64)
        self._owner = np.full((WORLD, WORLD), -1, np.int8)

    def put(self, row: int, outline: Outline) -> bool:
        """Put an object in front of the others, unless one would keep too few pixels."""
        x1, y1, mask = _patch(outline, WORLD)
        height, width = mask.shape
        window = self._owner[y1 : y1 + height, x1 : x1 + width]
        covered = mask >= 0.5
        hidden = window[covered]
        left = self.seen - np.bincount(hidden[hidden >= 0], minlength=len(self.seen))
        if (left < LEAST_VISIBLE * self.covered).any():
            return False
        window[covered] = row
        self.seen = left
        self.seen[row] = self.covered[row] = covered.sum()
        return True


def _patch(outline: Outline, limit: int) -> tuple[int, int, np.ndarray]:
    """Left, top and coverage (h, w) of the smallest window that holds an outline."""
    box = bounds(outline)
    x1, y1 = np.maximum(np.floor(box[:2]), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:]), limit).astype(int)
    return x1, y1, fill([loop - (x1, y1) for loop in outline], x2 - x1, y2 - y1)


def _render(objects: tuple[Object, ...], rng: np.random.Generator, size: int) -> np.ndarray:
    picture = _background(rng, size)
    for item in objects:
        _paint(picture, item, rng, size / WORLD)
    picture += rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(2, 9))
    return (np.clip(picture, 0, 255) + np.float32(0.5)).astype(np.uint8)


def _paint(picture: np.ndarray, item: Object, rng: np.random.Generator, scale: float) -> None:
    """Blend an object into the (size, size, 3) float32 image."""
    _, colour, texture = (int(value) for value in item.attributes)
    outline = [loop * scale for loop in item.outline]
    x1, y1, mask = _patch(outline, len(picture))
    local = [loop - (x1, y1) for loop in outline]
    colours = draw_colours(colour, rng)
    share = second_colour(texture, local, mask, item.size * scale, item.angle, rng, scale)
    surface = colours[0] + share[..., None] * (colours[1] - colours[0])
    window = picture[y1 : y1 + len(mask), x1 : x1 + mask.shape[1]]
    window += mask[..., None] * (surface - window)


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 3) float32: coarse noise, smoothly enlarged, with strokes and arcs on it."""
    cells = int(rng.integers(3, 10))
    grey = rng.uniform(40, 215)
    noise = grey + rng.uniform(15, 60) * rng.standard_normal((cells, cells, 3))
    coarse = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    image = coarse.resize((size, size), Image.Resampling.BICUBIC)
    # Drawn twice as fine and averaged, so that the strokes have smooth edges.
    image = image.resize((2 * size, 2 * size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(4, 14))):
        _stroke(draw, rng, 2 * size)
    return np.asarray(image.reduce(2), np.float32)


def _stroke(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int) -> None:
    """A straight stroke, or part of an ellipse, in any colour."""
    colour = tuple(int(value) for value in rng.integers(0, 256, 3))
    width = max(1, round(rng.uniform(1, 5) * size / WORLD))
    x1, y1, x2, y2 = (rng.uniform(-0.1, 1.1, 4) * size).tolist()
    if rng.random() < 0.5:
        draw.line((x1, y1, x2, y2), colour, width)
        return
    corners = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
    start = rng.uniform(0, 360)
    draw.arc(corners, start, start + rng.uniform(40, 250), colour, width)
