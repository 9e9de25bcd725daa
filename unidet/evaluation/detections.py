"""From regions and category names to detections: classify, calibrate, fuse, suppress.

R regions of an image, C categories, D embedding dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unidet.config.compat import Compat
from unidet.errors import UserError
from unidet.evaluation.calibration import (
    calibration_weights,
    fuse_scores,
    prior_counts,
)
from unidet.evaluation.protocols import best_of_categories
from unidet.evaluation.regions import Regions
from unidet.evaluation.soft_nms import Kept, Suppression, suppressor
from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.records import Detections

# exp(87) is the last that float32 can hold
LARGEST_LOGIT = np.float32(87)
BOX_DECIMALS = 2
DETECTIONS_PER_SELECTION = 1_000_000
SCORES_AT_ONCE = 4_000_000  # of regions, categories and scorings: 16 MB
NAMES_AT_ONCE = 2048
"""A block of names; published vocabularies are one block, whose products no division rounds."""
Rows = slice | np.ndarray
ALL = slice(None)


@dataclass(frozen=True)
class TextClassifier:
    """Sigmoid classifier whose weights are the embeddings of category names.

    Attributes:
        text_embeddings: (C, D) float32 of unit length (a row of zeros stays zeros).
        category_ids: (C,) int64, in the order of the rows.
        scale, bias: probability = sigmoid(scale * cosine + bias); officially 100 and 0.
    """

    text_embeddings: np.ndarray
    category_ids: np.ndarray
    scale: float = 100.0
    bias: float = 0.0

    @classmethod
    def of(
        cls,
        embeddings_CD: np.ndarray,
        category_ids: np.ndarray,
        scale: float = 100.0,
        bias: float = 0.0,
    ) -> TextClassifier:
        """From embeddings of any length.

        Raises:
            UserError: the number of embeddings is not that of the categories, or values are not
                finite.
        """
        if embeddings_CD.ndim != 2 or len(embeddings_CD) != len(category_ids):
            raise UserError(
                f"text embeddings have shape {embeddings_CD.shape} but the vocabulary has "
                f"{len(category_ids)} categories; embed this vocabulary"
            )
        if not np.isfinite(embeddings_CD).all():
            raise UserError("text embeddings hold NaN or infinite values; embed them again")
        text = embeddings_CD.astype(np.float32)
        lengths = np.linalg.norm(text, axis=1, keepdims=True)
        return cls(text / np.where(lengths > 0, lengths, 1), np.asarray(category_ids), scale, bias)

    def probabilities(self, embeddings_RD: np.ndarray, rows: Rows = ALL) -> np.ndarray:
        """(R, C) float32 in (0, 1), of these rows of the embeddings alone."""
        if embeddings_RD.shape[1:] != self.text_embeddings.shape[1:]:
            raise UserError(
                f"region embeddings have {embeddings_RD.shape[-1]} dimensions and text embeddings "
                f"{self.text_embeddings.shape[1]}; they come from different CLIP models"
            )
        return self.of_logits(embeddings_RD.astype(np.float32) @ self.text_embeddings[rows].T)

    def of_logits(self, logits: np.ndarray) -> np.ndarray:
        """Probabilities from cosines, which are overwritten."""
        logits *= np.float32(self.scale)
        logits += np.float32(self.bias)
        np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT, out=logits)
        return 1 / (1 + np.exp(-logits))


@dataclass(frozen=True)
class Scoring:
    """How probabilities become scores.

    Attributes:
        beta: weight of the class probability in the fused score; officially 0.3.
        weights: (C,) float32 from `calibration_weights`, or None for uncalibrated.
        carried: (C,) the row of the embedding that each category carries, -1 for zeros; None: its
            own. See `evaluation.controls`.
    """

    beta: float
    weights: np.ndarray | None = None
    carried: np.ndarray | None = None

    def scores(
        self,
        probabilities_of: Callable[[Rows], np.ndarray],
        names: slice,
        proposal_scores: np.ndarray,
        zero: np.float32,
    ) -> np.ndarray:
        """(R, B) float32 of the categories `names`.

        Args:
            probabilities_of: (R, B) of B rows of the embeddings.
            zero: the probability of a category whose embedding is zeros.
        """
        if self.carried is None:
            probabilities_RB = probabilities_of(names)
        else:
            rows = self.carried[names]
            probabilities_RB = np.where(rows >= 0, probabilities_of(rows), zero)
        if self.weights is not None:
            probabilities_RB = probabilities_RB * self.weights[names]
        return fuse_scores(probabilities_RB, proposal_scores, self.beta)


def detect(
    images: Iterable[Regions],
    classifier: TextClassifier,
    scorings: Sequence[Scoring],
    suppression: Suppression,
) -> Iterator[Detections]:
    """The detections under each scoring, from one pass over the images.

    Best first within an image. Boxes are rounded to 1/100 pixel here, not when they are written,
    so that what is evaluated in memory is exactly what the results file says.

    More than `NAMES_AT_ONCE` names are scored in blocks, so that memory does not grow with them;
    with `offset_classes`, which looks at all of them, in one.
    """
    collected = _Collected(classifier.category_ids, len(scorings))
    count = len(classifier.category_ids)
    blocks = _blocks(count, count if suppression.offset_classes else NAMES_AT_ONCE)
    for image in images:
        suppress = suppressor(image.boxes_xyxy, suppression)
        scores = _ScoresByBlock(image, classifier, blocks)
        at_once = max(1, SCORES_AT_ONCE // max(1, scores.largest))
        kept: list[Kept] = []
        for first in range(0, len(scorings), at_once):
            kept += suppress(scores.under(scorings[first : first + at_once]))
        collected.add(image, kept)
    yield from collected


def _blocks(count: int, at_once: int) -> list[slice]:
    """At least one, so that an empty vocabulary has scores, too."""
    return [slice(first, first + at_once) for first in range(0, max(1, count), max(1, at_once))]


class _ScoresByBlock:
    """The scores of an image's regions, in blocks of names.

    Probabilities of a single block are computed once; those of several whenever they are needed.
    """

    def __init__(self, image: Regions, classifier: TextClassifier, blocks: Sequence[slice]) -> None:
        self._image, self._classifier, self._blocks = image, classifier, blocks
        self._whole = classifier.probabilities(image.embeddings) if len(blocks) == 1 else None
        (self._zero,) = classifier.of_logits(np.zeros(1, np.float32))
        self.largest = len(image.boxes_xyxy) * len(classifier.category_ids[blocks[0]])

    def under(self, scorings: Sequence[Scoring]) -> Iterator[np.ndarray]:
        """(S, R, B) under each of S scorings, for one block after the other."""
        for names in self._blocks:
            columns = [
                scoring.scores(self._probabilities, names, self._image.proposal_scores, self._zero)
                for scoring in scorings
            ]
            yield np.stack(columns)

    def _probabilities(self, rows: Rows) -> np.ndarray:
        if self._whole is None:
            return self._classifier.probabilities(self._image.embeddings, rows)
        return self._whole[:, rows]


def calibrated_scorings(
    uncalibrated: Detections,
    classifier: TextClassifier,
    plain: Scoring,
    gammas: Sequence[float],
    compat: Compat = "default",
) -> list[Scoring]:
    """One scoring for each gamma, with the prior counted in `uncalibrated` (made with `plain`)."""
    counts = prior_counts(uncalibrated.category_ids, classifier.category_ids)
    return [replace(plain, weights=calibration_weights(counts, gamma, compat)) for gamma in gammas]


def calibrated(
    images: Iterable[Regions],
    classifier: TextClassifier,
    scorings: Sequence[Scoring],
    gamma: float,
    suppression: Suppression,
    compat: Compat = "default",
) -> list[Scoring]:
    """The scorings with calibration; gamma > 0 passes over `images` (no iterator) for the prior.

    The prior is taken, as officially, from the uncalibrated detections of the same images.
    """
    if gamma == 0:
        return list(scorings)
    runs = zip(detect(images, classifier, scorings, suppression), scorings, strict=True)
    return [
        calibrated_scorings(uncalibrated, classifier, plain, [gamma], compat)[0]
        for uncalibrated, plain in runs
    ]


def detect_best_of_categories(
    images: Iterable[Regions],
    classifier: TextClassifier,
    scoring: Scoring,
    suppression: Suppression,
    count: int,
) -> Detections:
    """The `count` best detections of each category over all images, without a limit per image.

    Memory holds about twice these, not the detections of all images.
    """
    suppression = replace(suppression, max_per_image=sys.maxsize)
    kept, waiting = Detections.concatenate([]), 0
    pending: list[Detections] = []
    for image in images:
        pending += detect([image], classifier, [scoring], suppression)
        waiting += len(pending[-1])
        if waiting > max(len(kept), DETECTIONS_PER_SELECTION):
            kept, pending, waiting = _best_of_all([kept, *pending], count), [], 0
    return _best_of_all([kept, *pending], count)


def _best_of_all(parts: list[Detections], count: int) -> Detections:
    detections = Detections.concatenate(parts)
    return detections.take(best_of_categories(detections, count))


def _rounded_xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    boxes = xyxy_to_xywh(boxes_xyxy.astype(np.float64))
    boxes[:, 2:] = np.maximum(boxes[:, 2:], 0)
    return np.round(boxes, BOX_DECIMALS)


class _Collected:
    """The detections of each scoring in the images so far; boxes are stored once for all of
    them.
    """

    def __init__(self, category_ids: np.ndarray, scorings: int) -> None:
        self._category_ids = category_ids
        self._image_ids: list[int] = []
        self._boxes: list[np.ndarray] = []
        self._kept: list[list[Kept]] = [[] for _ in range(scorings)]

    def add(self, image: Regions, kept: Sequence[Kept]) -> None:
        self._image_ids.append(image.image_id)
        self._boxes.append(_rounded_xywh(image.boxes_xyxy))
        for (regions, classes, scores), collection in zip(kept, self._kept, strict=True):
            collection.append((regions.astype(np.int32), classes.astype(np.int32), scores))

    def __iter__(self) -> Iterator[Detections]:
        for collection in self._kept:
            yield self._detections(collection)

    def _detections(self, collection: list[Kept]) -> Detections:
        found = zip(self._boxes, collection, strict=True)
        classes = [np.zeros(0, np.int32), *(classes for _, classes, _ in collection)]
        return Detections(
            np.repeat(np.array(self._image_ids, np.int64), [len(kept[0]) for kept in collection]),
            self._category_ids[np.concatenate(classes)].astype(np.int64),
            np.concatenate([np.zeros((0, 4)), *(boxes[kept[0]] for boxes, kept in found)]),
            np.concatenate([np.zeros(0, np.float32), *(scores for *_, scores in collection)]),
        )
