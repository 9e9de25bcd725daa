"""Draws labelled boxes on images; all drawings share this style."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unidet.report.colours import Colour, colour_of, is_light, score_colour
from unidet.report.label_places import gaps, place_labels
from unidet.report.label_text import FONT, label

MINIMUM_SIDE = 384  # smaller images of a report are enlarged for readable labels
MAXIMUM_SIDE = 4096  # limit of the enlarged image, for very narrow ones
_LEAST_POINTS = 11
_CROWD = 12  # with more labels than this, the text is smaller
_OPAQUE = 209  # alpha of a label's background, of 255
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)


def draw_boxes(
    image: np.ndarray,
    boxes_xyxy: np.ndarray,
    texts: Sequence[str],
    *,
    colours: Sequence[Colour] | None = None,
    dashed: Sequence[bool] | None = None,
    enlarge: bool = True,
) -> Image.Image:
    """The image with one labelled box per row, the first rows on top.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes_xyxy: (N, 4) in pixels of the image.
        texts: N labels; a box with an empty text has no label.
        colours: N RGB colours; by default one for each distinct text without its last word.
        dashed: N flags for a dashed outline (novel categories).
        enlarge: enlarge small images, so that labels are readable.
    """
    picture = Image.fromarray(image)
    factor = _enlargement(*picture.size) if enlarge else 1
    if factor > 1:
        larger = (picture.width * factor, picture.height * factor)
        picture = picture.resize(larger, Image.Resampling.LANCZOS)
    boxes = _upright(np.asarray(boxes_xyxy, float).reshape(-1, 4) * factor)
    colours = colours or [colour_of(text.rsplit(" ", 1)[0]) for text in texts]
    broken = dashed or [False] * len(texts)
    pen = ImageDraw.Draw(picture)
    width = _line_width(*picture.size)
    for row in reversed(range(len(boxes))):
        _outline(pen, boxes[row], colours[row], width, broken[row])
    _write_labels(picture, pen, boxes, texts, colours)
    return picture


def draw_proposals(image: np.ndarray, boxes_xyxy: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB with thin boxes, tinted by score (viridis), the best ones on top."""
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    width = max(1, _line_width(*picture.size) // 2)
    for row in np.argsort(scores, kind="stable"):
        box = _upright(np.asarray(boxes_xyxy[row : row + 1], float))[0]
        pen.rectangle([*box], outline=score_colour(scores[row]), width=width)
    return np.asarray(picture)


def beside(pictures: Sequence[Image.Image], titles: Sequence[str], gap: int = 8) -> Image.Image:
    """Images in a row on white, with a title above each."""
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


def _enlargement(width: int, height: int) -> int:
    wanted = -(-MINIMUM_SIDE // min(width, height))
    return max(1, min(wanted, MAXIMUM_SIDE // max(width, height)))


def _line_width(width: int, height: int) -> int:
    """Line width in pixels, by the image's size: 2 at 640x480, 12 at 4000x3000."""
    return max(2, round(min(width, height) / 240))


def _upright(boxes: np.ndarray) -> np.ndarray:
    """Boxes with x1 <= x2 and y1 <= y2."""
    first, second = boxes[:, :2], boxes[:, 2:]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], axis=1)


def _outline(
    pen: ImageDraw.ImageDraw, box: np.ndarray, colour: Colour, width: int, dashed: bool
) -> None:
    """A coloured outline between thin black or white lines, visible on any image."""
    x1, y1, x2, y2 = (float(value) for value in box)
    # At most a sixth of a small object's side.
    width = int(np.clip(min(x2 - x1, y2 - y1) / 6, 1, width))
    edge = max(1, width // 3)
    contrast = _BLACK if is_light(colour) else _WHITE
    if not dashed:
        outer = (x1 - edge, y1 - edge, x2 + edge, y2 + edge)
        pen.rectangle(outer, outline=contrast, width=width + 2 * edge)
        pen.rectangle((x1, y1, x2, y2), outline=colour, width=width)
        return
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)]
    dash = 4 * max(width, 2)
    for (ax, ay), (bx, by) in pairwise(corners):
        length = max(abs(bx - ax), abs(by - ay))
        for start in np.arange(0, length, 1.7 * dash):
            end = min(start + dash, length)
            points = [
                (ax + (bx - ax) * t / length, ay + (by - ay) * t / length) for t in (start, end)
            ]
            pen.line(points, fill=contrast, width=width + 2 * edge)
            pen.line(points, fill=colour, width=width)


def _write_labels(
    picture: Image.Image,
    pen: ImageDraw.ImageDraw,
    boxes: np.ndarray,
    texts: Sequence[str],
    colours: Sequence[Colour],
) -> None:
    """Writes each label on its box's colour; a line joins distant labels to their boxes."""
    font = _font(_points(picture.size, sum(map(bool, texts))))
    margin = max(1, round(font.size / 5))
    most = max(8, min(40, int(picture.width / (0.6 * font.size))))
    shown = [label(text, most) if text else "" for text in texts]
    ascent, descent = font.getmetrics()
    sizes = np.zeros((len(texts), 2))
    for row, text in enumerate(shown):
        if text:
            sizes[row] = round(font.getlength(text)) + 2 * margin, ascent + descent + margin
    _leave_room(sizes, picture.width * picture.height)
    places = place_labels(boxes, sizes, picture.size)
    field = ImageDraw.Draw(picture, "RGBA")
    for row, place in enumerate(places):
        if sizes[row].any() and gaps(place[None], boxes[row])[0] > font.size / 4:
            _join(pen, place, boxes[row], colours[row], max(1, margin // 2))
    for row, place in enumerate(places):
        if sizes[row].any():
            left, top, right, bottom = place
            field.rectangle((left, top, right - 1, bottom - 1), fill=(*colours[row], _OPAQUE))
            start = (place[0] + margin, place[1] + margin // 2)
            ink = _BLACK if is_light(colours[row]) else _WHITE
            pen.text(start, shown[row], fill=ink, font=font)


def _leave_room(sizes: np.ndarray, area: int) -> None:
    """Drops the last labels, which have the lowest scores, if all would hide half the image."""
    hidden = np.cumsum(np.prod(sizes, axis=1))
    sizes[hidden > area / 2] = 0


def _points(size: tuple[int, int], labels: int) -> int:
    """Font size in points, by the image's size; a fifth smaller with many labels."""
    points = min(size) / 34 * (0.8 if labels > _CROWD else 1)
    return max(_LEAST_POINTS, round(points))


def _join(
    pen: ImageDraw.ImageDraw, place: np.ndarray, box: np.ndarray, colour: Colour, width: int
) -> None:
    """Draws a line between the nearest points of a label and its box."""
    start = np.clip((box[:2] + box[2:]) / 2, place[:2], place[2:])
    end = np.clip(start, box[:2], box[2:])
    pen.line([tuple(start), tuple(end)], fill=colour, width=width)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size)
