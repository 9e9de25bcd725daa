"""Labelled boxes on a picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unidet.report.labels import FONT, label

MINIMUM_SIDE = 384  # smaller pictures are enlarged so that labels can be read
MAXIMUM_SIDE = 4096  # but none beyond this: a strip of one pixel would become a wall


def draw_boxes(
    image: np.ndarray,
    boxes_xyxy: np.ndarray,
    texts: Sequence[str],
    *,
    colours: Sequence[tuple[int, int, int]] | None = None,
    dashed: Sequence[bool] | None = None,
) -> Image.Image:
    """The picture with one labelled box per row.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy: (N, 4) in the image's pixels.
        texts: N labels; an empty one leaves the box bare.
        colours: N RGB colours; by default one for each distinct text.
        dashed: which boxes have a dashed outline (novel categories).
    """
    picture = Image.fromarray(image)
    factor = _enlargement(*picture.size)
    if factor > 1:
        larger = (picture.width * factor, picture.height * factor)
        picture = picture.resize(larger, Image.Resampling.LANCZOS)
    colours = colours or [colour_of(text.rsplit(" ", 1)[0]) for text in texts]
    broken = dashed or [False] * len(texts)
    pen = ImageDraw.Draw(picture)
    width = max(2, round(min(picture.size) / 250))
    taken: list[tuple[float, float, float, float]] = []
    for box, colour, is_dashed in zip(boxes_xyxy * factor, colours, broken, strict=True):
        _outline(pen, box, colour, width, is_dashed)
    for box, text, colour in zip(boxes_xyxy * factor, texts, colours, strict=True):
        if text:
            taken.append(_label(pen, box, text, colour, picture.size, taken))
    return picture


def _enlargement(width: int, height: int) -> int:
    wanted = -(-MINIMUM_SIDE // min(width, height))
    return max(1, min(wanted, MAXIMUM_SIDE // max(width, height)))


def colour_of(text: str) -> tuple[int, int, int]:
    """A vivid colour that depends on the text alone."""
    hue = (sum(ord(letter) * (7 + index) for index, letter in enumerate(text)) * 0.618034) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(red * 255), round(green * 255), round(blue * 255)


def score_colour(score: float) -> tuple[int, int, int]:
    """Viridis colour of a score in [0, 1]."""
    red, green, blue, _ = matplotlib.colormaps["viridis"](float(np.clip(score, 0, 1)))
    return round(red * 255), round(green * 255), round(blue * 255)


def beside(pictures: Sequence[Image.Image], titles: Sequence[str], gap: int = 8) -> Image.Image:
    """Pictures in a row on white, each under its title."""
    band = 22
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    height = max(picture.height for picture in pictures) + band
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    left = 0
    for picture, title in zip(pictures, titles, strict=True):
        pen.text((left + 2, 3), title, fill="black", font=_font(14))
        sheet.paste(picture, (left, band))
        left += picture.width + gap
    return sheet


def _outline(
    pen: ImageDraw.ImageDraw,
    box: np.ndarray,
    colour: tuple[int, int, int],
    width: int,
    dashed: bool,
) -> None:
    x1, y1, x2, y2 = (float(value) for value in box)
    if not dashed:
        pen.rectangle(
            (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)), outline=colour, width=width
        )
        return
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    for (ax, ay), (bx, by) in pairwise(corners):
        length = max(abs(bx - ax), abs(by - ay))
        for start in np.arange(0, length, 12):
            end = min(start + 7, length)
            points = [
                (ax + (bx - ax) * t / length, ay + (by - ay) * t / length) for t in (start, end)
            ]
            pen.line(points, fill=colour, width=width)


def _label(
    pen: ImageDraw.ImageDraw,
    box: np.ndarray,
    text: str,
    colour: tuple[int, int, int],
    size: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Write the text at the box's top edge, lower where another label stands; returns its place."""
    points = max(12, min(size) // 32)
    font = _font(points)
    text = label(text, max(8, min(40, int(size[0] / (0.6 * points)))))
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, bottom - top + 6
    x = float(np.clip(box[0], 0, max(size[0] - width, 0)))
    y = float(np.clip(box[1] - height, 0, max(size[1] - height, 0)))
    while any(_overlap((x, y, x + width, y + height), other) for other in taken):
        if y + 2 * height > size[1]:
            break
        y += height
    place = (x, y, x + width, y + height)
    pen.rectangle(place, fill=colour)
    dark = sum(colour) > 380
    pen.text((x + 3 - left, y + 3 - top), text, fill="black" if dark else "white", font=font)
    return place


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size)
