"""Images of a gallery: annotated boxes beside detections, coloured by outcome."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from unidet.evaluation.naming import CONFUSED, MISSED, RIGHT, ImageScores
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.report.draw import draw_boxes, draw_proposals
from unidet.report.figures import Evaluated

SHORT_SIDE, LONGEST_SIDE = 400, 1280
QUALITY = 80
MOST_BOXES, MOST_WORDS = 40, 12
# Sky blue and orange of Okabe and Ito, and a magenta: distinct for all types of colour vision.
RIGHT_COLOUR, CONFUSED_COLOUR, WRONG_COLOUR = (86, 180, 233), (240, 165, 0), (232, 62, 140)
IGNORED_COLOUR = (150, 150, 150)


@dataclass(frozen=True)
class Picture:
    """One image of a page: a JPEG as a data URL, its size in pixels, and a description."""

    source: str
    width: int
    height: int
    says: str


@dataclass(frozen=True)
class Pair:
    """One image of a gallery: annotations and detections."""

    name: str
    summary: str
    annotated: Picture
    detected: Picture


@dataclass(frozen=True)
class Gallery:
    """Images of one kind: `title` names it, `text` says how they were chosen."""

    kind: str
    title: str
    text: str
    pairs: list[Pair]


@dataclass(frozen=True)
class Named:
    """One image with its name."""

    name: str
    picture: Picture


def proposals_of(name: str, pixels: np.ndarray, proposals: np.ndarray) -> Named:
    """Draws proposals (P, 5), xyxy and score, tinted by score; `pixels` as in `pair_of`."""
    sized, factor = _sized(pixels)
    scores = proposals[:, 4]
    drawn = draw_proposals(sized, proposals[:, :4] * factor, scores)
    ends = f", scores {scores.min():.2f} to {scores.max():.2f}" if len(scores) else ""
    return Named(
        name,
        picture_of(Image.fromarray(drawn), f"The {len(proposals)} best proposals of {name}{ends}."),
    )


def picture_of(image: Image.Image, says: str) -> Picture:
    """The image as JPEG; equal pixels give equal bytes."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return Picture(source, image.width, image.height, says)


def pair_of(
    evaluated: Evaluated, row: int, pixels: np.ndarray, name: str, scores: ImageScores
) -> Pair:
    """The image at `row` of the ground truth; `pixels` (H, W, 3) uint8 RGB, in its boxes' scale."""
    sized, factor = _sized(pixels)
    counts = f"{scores.right[row]} of {scores.boxes[row]} boxes under their own name"
    if scores.confused[row]:
        counts += f", {scores.confused[row]} under another"
    if scores.missed[row]:
        counts += f", {scores.missed[row]} missed"
    summary = f"{counts}; {scores.wrong[row]} wrong detections"
    return Pair(
        name,
        f"{summary}; F1 {np.nan_to_num(scores.f1[row]):.2f}",
        _annotated(evaluated, row, sized, factor),
        _detected(evaluated, row, sized, factor),
    )


def _annotated(evaluated: Evaluated, row: int, pixels: np.ndarray, factor: float) -> Picture:
    truth, found = evaluated.truth, evaluated.naming
    rows = np.flatnonzero((truth.image_rows == row) & ~truth.is_crowd)[:MOST_BOXES]
    texts, colours, words = [], [], []
    for box in rows:
        name = truth.category_names[truth.category_rows[box]]
        fate = found.fates[box]
        colours.append(_FATE_COLOURS.get(fate, IGNORED_COLOUR))
        if fate == CONFUSED:
            called = truth.category_names[found.names[box]]
            texts.append(f"{name} → {called}")
            words.append(f"{name} (called {called})")
        else:
            texts.append(f"{name} – missed" if fate == MISSED else name)
            words.append(f"{name} (missed)" if fate == MISSED else name)
    novel = [evaluated.is_novel(truth.category_rows[box]) for box in rows]
    boxes = xywh_to_xyxy(truth.boxes_xywh[rows]) * factor
    drawn = draw_boxes(pixels, boxes, texts, colours=colours, dashed=novel, enlarge=False)
    return picture_of(drawn, f"Annotated: {_listed(words)}.")


_FATE_COLOURS = {RIGHT: RIGHT_COLOUR, CONFUSED: CONFUSED_COLOUR, MISSED: WRONG_COLOUR}


def _detected(evaluated: Evaluated, row: int, pixels: np.ndarray, factor: float) -> Picture:
    truth, found, detections = evaluated.truth, evaluated.naming, evaluated.detections
    inside = detections.image_ids[found.shown] == truth.image_ids[row]
    places = np.flatnonzero(inside)
    rows = found.shown[places]
    ignored = ~(found.is_true[places] | found.is_false[places])
    order = np.lexsort((-detections.scores[rows], ignored))[:MOST_BOXES]
    places, rows = places[order], rows[order]
    categories = truth.rows_of_categories(detections.category_ids[rows])
    texts, colours, words = [], [], []
    for place, detection, category in zip(places, rows, categories, strict=True):
        text = f"{truth.category_names[category]} {detections.scores[detection]:.2f}"
        wrong, right = found.is_false[place], found.is_true[place]
        # Ignored detections have no label: it would hide others.
        texts.append(text if right else f"{text} ✗" if wrong else "")
        words.append(text if right else f"{text} ({'wrong' if wrong else 'does not count'})")
        colours.append(RIGHT_COLOUR if right else WRONG_COLOUR if wrong else IGNORED_COLOUR)
    novel = [evaluated.is_novel(category) for category in categories]
    boxes = xywh_to_xyxy(detections.boxes_xywh[rows]) * factor
    drawn = draw_boxes(pixels, boxes, texts, colours=colours, dashed=novel, enlarge=False)
    return picture_of(drawn, f"Detected: {_listed(words)}.")


def _sized(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """The image, resized to short side `SHORT_SIDE` or long side `LONGEST_SIDE`, and the factor."""
    height, width = pixels.shape[:2]
    factor = min(SHORT_SIDE / min(height, width), LONGEST_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)), factor


def _listed(words: Iterable[str]) -> str:
    """A list of at most `MOST_WORDS` different words, equal ones counted, in order."""
    counts = Counter(words)
    parts = [word if count == 1 else f"{count} × {word}" for word, count in counts.items()]
    shown: Sequence[str] = parts[:MOST_WORDS]
    more = f" and {len(parts) - len(shown)} more" if len(parts) > len(shown) else ""
    return (", ".join(shown) or "nothing") + more
