"""From regions and category names to detections: classify, calibrate, fuse, suppress.

R regions of an image, C categories, D embedding dimensions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
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
from unidet.evaluation.soft_nms import Suppression, suppressor
from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.records import Detections

# exp(87) is the last that float32 can hold
LARGEST_LOGIT = np.float32(87)
BOX_DECIMALS = 2
DETECTIONS_PER_SELECTION = 1_000_000


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
            UserError: not one embedding for each category, or values that are not finite.
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

    def probabilities(self, embeddings_RD: np.ndarray) -> np.ndarray:
        """(R, C) float32 in (0, 1)."""
        if embeddings_RD.shape[1:] != self.text_embeddings.shape[1:]:
            raise UserError(
                f"region embeddings have {embeddings_RD.shape[-1]} dimensions and text embeddings "
                f"{self.text_embeddings.shape[1]}; they come from different CLIP models"
            )
        logits = embeddings_RD.astype(np.float32) @ self.text_embeddings.T
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
    """

    beta: float
    weights: np.ndarray | None = None


def detect(
    images: Iterable[Regions],
    classifier: TextClassifier,
    scorings: Sequence[Scoring],
    suppression: Suppression,
) -> list[Detections]:
    """Detections under each scoring, from one pass over the images.

    Best first within an image. Boxes are rounded to 1/100 pixel here, not when they are written,
    so that what is evaluated in memory is exactly what the results file says.
    """
    collected = [_Collected(classifier.category_ids) for _ in scorings]
    for image in images:
        probabilities = classifier.probabilities(image.embeddings)
        suppress = suppressor(image.boxes_xyxy, suppression)
        boxes = _rounded_xywh(image.boxes_xyxy)
        for scoring, collection in zip(scorings, collected, strict=True):
            weighted = probabilities if scoring.weights is None else probabilities * scoring.weights
            scores = fuse_scores(weighted, image.proposal_scores, scoring.beta)
            collection.add(image.image_id, boxes, *suppress(scores))
    return [collection.detections() for collection in collected]


def calibrated_scorings(
    uncalibrated: Detections,
    classifier: TextClassifier,
    beta: float,
    gammas: Sequence[float],
    compat: Compat = "default",
) -> list[Scoring]:
    """One scoring for each gamma, with the prior counted in `uncalibrated` (made with `beta`)."""
    counts = prior_counts(uncalibrated.category_ids, classifier.category_ids)
    return [Scoring(beta, calibration_weights(counts, gamma, compat)) for gamma in gammas]


def calibrated_scoring(
    images: Iterable[Regions],
    classifier: TextClassifier,
    *,
    beta: float,
    gamma: float,
    suppression: Suppression,
    compat: Compat = "default",
) -> Scoring:
    """The scoring of `detect_calibrated`; gamma > 0 passes over `images` for the prior."""
    plain = Scoring(beta)
    if gamma == 0:
        return plain
    (uncalibrated,) = detect(images, classifier, [plain], suppression)
    return calibrated_scorings(uncalibrated, classifier, beta, [gamma], compat)[0]


def detect_calibrated(
    images: Iterable[Regions],
    classifier: TextClassifier,
    *,
    beta: float,
    gamma: float,
    suppression: Suppression,
    compat: Compat = "default",
) -> Detections:
    """Detections with calibration; gamma > 0 passes over `images` twice (pass no iterator).

    The prior is taken, as officially, from the uncalibrated detections of the same images.
    """
    scoring = calibrated_scoring(
        images, classifier, beta=beta, gamma=gamma, suppression=suppression, compat=compat
    )
    return detect(images, classifier, [scoring], suppression)[0]


def detect_best_of_categories(
    images: Iterable[Regions],
    classifier: TextClassifier,
    scoring: Scoring,
    suppression: Suppression,
    count: int,
) -> Detections:
    """The `count` best detections of each category over all images, however many of an image.

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
    """Columns of the detections of many images."""

    def __init__(self, category_ids: np.ndarray) -> None:
        self.category_ids = category_ids
        self.image_ids: list[int] = []
        self.counts: list[int] = []
        self.boxes: list[np.ndarray] = [np.zeros((0, 4))]
        self.classes: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
        self.scores: list[np.ndarray] = [np.zeros(0, dtype=np.float32)]

    def add(
        self,
        image_id: int,
        boxes_xywh: np.ndarray,
        regions: np.ndarray,
        classes: np.ndarray,
        scores: np.ndarray,
    ) -> None:
        self.image_ids.append(image_id)
        self.counts.append(len(regions))
        self.boxes.append(boxes_xywh[regions])
        self.classes.append(classes)
        self.scores.append(scores)

    def detections(self) -> Detections:
        return Detections(
            np.repeat(np.array(self.image_ids, dtype=np.int64), self.counts),
            self.category_ids[np.concatenate(self.classes)].astype(np.int64),
            np.concatenate(self.boxes),
            np.concatenate(self.scores),
        )
