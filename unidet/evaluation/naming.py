"""The outcome of every annotated box: detected under its name, under another one, or missed.

Legend: G annotated boxes, N images, C categories.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.evaluation.matching import find_pairs
from unidet.evaluation.outcomes import Outcomes
from unidet.records import Detections, GroundTruth

RIGHT, CONFUSED, MISSED, UNCOUNTED = range(4)


@dataclass(frozen=True)
class Naming:
    """Outcomes of the boxes at IoU .5, with detections of at least `score`.

    Attributes:
        score: the minimum score that counts.
        fates: (G,) int8: RIGHT; CONFUSED: only detections of other names overlap it; MISSED: none
            does; UNCOUNTED: it need not be detected.
        names: (G,) int64 row of the category under which a box is detected, -1 if it is not.
        shown: rows of the detections of at least `score`.
        is_true: of each of them, whether it is right; `is_false`: whether it is wrong. What is
            neither is ignored, or not evaluated at all.
    """

    score: float
    fates: np.ndarray
    names: np.ndarray
    shown: np.ndarray
    is_true: np.ndarray
    is_false: np.ndarray


def naming(truth: GroundTruth, detections: Detections, outcomes: Outcomes, score: float) -> Naming:
    """Outcomes of all boxes; a confused one gets the name of the best detection that overlaps
    it.
    """
    fates = np.where(outcomes.countable, MISSED, UNCOUNTED).astype(np.int8)
    names = np.full(len(fates), -1, np.int64)
    over, called = _best_over(truth, detections, score)
    other = outcomes.countable[over] & (called != truth.category_rows[over])
    fates[over[other]], names[over[other]] = CONFUSED, called[other]
    right = outcomes.truths[outcomes.is_true & (outcomes.scores >= score)]
    fates[right], names[right] = RIGHT, truth.category_rows[right]
    is_true, is_false = np.zeros((2, len(detections)), bool)
    is_true[outcomes.rows], is_false[outcomes.rows] = outcomes.is_true, outcomes.is_false
    shown = np.flatnonzero(detections.scores >= score)
    return Naming(score, fates, names, shown, is_true[shown], is_false[shown])


def _best_over(
    truth: GroundTruth, detections: Detections, score: float
) -> tuple[np.ndarray, np.ndarray]:
    """Boxes overlapped by detections of any name, and the category of the best of these."""
    rows = np.flatnonzero(detections.scores >= score)
    order = np.argsort(truth.image_rows, kind="stable")
    pairs = find_pairs(
        truth.rows_of_images(detections.image_ids[rows]),
        detections.boxes_xywh[rows],
        truth.image_rows[order],
        truth.boxes_xywh[order],
    )
    boxes, hits = order[pairs.truths], rows[pairs.detections]
    best = np.lexsort((hits, -detections.scores[hits], boxes))
    boxes, hits = boxes[best], hits[best]
    first = np.concatenate(([True], boxes[1:] != boxes[:-1])) if len(boxes) else np.zeros(0, bool)
    return boxes[first], truth.rows_of_categories(detections.category_ids[hits[first]])


@dataclass(frozen=True)
class Confusion:
    """A name predicted instead of the true one; `share` is the fraction of all boxes of `name`."""

    name: int
    called: int
    count: int
    share: float


def confusions(truth: GroundTruth, found: Naming, most: int) -> list[Confusion]:
    """The `most` frequent ones; rows of categories."""
    wrong = found.fates == CONFUSED
    pairs, counts = np.unique(
        np.stack([truth.category_rows[wrong], found.names[wrong]], axis=1),
        axis=0,
        return_counts=True,
    )
    boxes = np.bincount(truth.category_rows[found.fates != UNCOUNTED], minlength=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], -counts))[:most]
    return [
        Confusion(int(name), int(called), int(count), float(count / boxes[name]))
        for (name, called), count in zip(pairs[order], counts[order], strict=True)
    ]


@dataclass(frozen=True)
class ImageScores:
    """(N,) int64 each: boxes by fate, and wrong detections; `f1` (N,) float64."""

    right: np.ndarray
    confused: np.ndarray
    missed: np.ndarray
    wrong: np.ndarray

    @property
    def boxes(self) -> np.ndarray:
        return self.right + self.confused + self.missed

    @property
    def f1(self) -> np.ndarray:
        """2·right / (boxes + detections); NaN in an image without either."""
        total = self.boxes + self.right + self.wrong
        with np.errstate(invalid="ignore"):
            return 2 * self.right / np.where(total > 0, total, np.nan)


def image_scores(truth: GroundTruth, detections: Detections, found: Naming) -> ImageScores:
    """Outcomes per image."""
    count = len(truth.image_ids)
    right, confused, missed = (
        np.bincount(truth.image_rows[found.fates == fate], minlength=count)
        for fate in (RIGHT, CONFUSED, MISSED)
    )
    wrong = found.shown[found.is_false]
    images = truth.rows_of_images(detections.image_ids[wrong])
    return ImageScores(right, confused, missed, np.bincount(images, minlength=count))


def ranked_images(scores: ImageScores, by: str, most: int) -> np.ndarray:
    """Rows of at most `most` images with boxes: the `best`, `worst`, `confused` or `missed` ones.

    Where they tie, the image with more boxes comes first, then the earlier one. Only images of that
    kind: some box is right in the best ones, something is amiss in the worst, some box is confused
    or missed in the others.
    """
    rows = np.flatnonzero(scores.boxes > 0)
    f1 = np.nan_to_num(scores.f1)
    values = {
        "best": -f1,
        "worst": f1 - 1,
        "confused": -scores.confused,
        "missed": -scores.missed,
    }[by]
    rows = rows[values[rows] < 0]
    order = np.lexsort((rows, -scores.boxes[rows], values[rows]))
    return rows[order[:most]]
