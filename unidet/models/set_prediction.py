"""What DETR and RT-DETR share: predictions, ground truth one-to-one with queries, box losses.

N images, Q queries, G ground-truth boxes of an image, M matched pairs of a batch. Boxes are cxcywh
in units of the image's sides. Sources: detr models/matcher.py, models/detr.py; RT-DETR
src/zoo/rtdetr/matcher.py, rtdetr_criterion.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jittor as jt
import numpy as np

from unidet.ops import losses
from unidet.ops.boxes import RELATIVE_FLOOR, cxcywh_to_xyxy, xyxy_to_cxcywh
from unidet.ops.hungarian import assign
from unidet.ops.numpy_boxes import pairwise_giou_numpy
from unidet.records import Batch

L1_WEIGHT = 5.0
GIOU_WEIGHT = 2.0


@dataclass(frozen=True)
class Prediction:
    """Logits (N, Q, C) and boxes (N, Q, 4)."""

    logits: jt.Var
    boxes: jt.Var

    def split(self, first: int) -> tuple[Prediction, Prediction]:
        """The first queries and the others."""
        logits, boxes = self.logits, self.boxes
        return (
            Prediction(logits[:, :first], boxes[:, :first]),
            Prediction(logits[:, first:], boxes[:, first:]),
        )


def absolute_boxes(boxes_NQ4: jt.Var, sizes_N2: np.ndarray) -> np.ndarray:
    """Relative cxcywh to xyxy in pixels of images of `sizes_N2` (height, width)."""
    sides = np.tile(np.asarray(sizes_N2)[:, None, ::-1], (1, 1, 2)).astype(np.float32)
    return cxcywh_to_xyxy(boxes_NQ4.numpy()) * sides


def proposals(
    boxes_NQ4: np.ndarray, scores_NQ: np.ndarray, sizes_N2: np.ndarray
) -> list[np.ndarray]:
    """Per image (Q, 5) xyxy + score, best first, clipped to (height, width)."""
    sorted_rows = []
    for boxes, scores, (height, width) in zip(boxes_NQ4, scores_NQ, sizes_N2, strict=True):
        limits = np.array([width, height, width, height], np.float32)
        rows = np.concatenate([np.clip(boxes, 0, limits), scores[:, None]], axis=1)
        sorted_rows.append(rows[np.argsort(-scores, kind="stable")])
    return sorted_rows


@dataclass(frozen=True)
class Targets:
    """Ground truth: per image labels (G,) and boxes (G, 4)."""

    labels: list[np.ndarray]
    boxes: list[np.ndarray]

    @property
    def count(self) -> int:
        """Boxes of all images."""
        return sum(len(labels) for labels in self.labels)


def relative_targets(batch: Batch, sizes_N2: np.ndarray, *, drop_empty: bool) -> Targets:
    """The batch's ground truth in units of `sizes_N2` (height, width).

    `drop_empty` leaves out degenerate boxes, which the official trainers keep.
    """
    labels, boxes = [], []
    images = zip(batch.labels, batch.boxes, sizes_N2, strict=True)
    for image_labels, boxes_xyxy, (height, width) in images:
        sides = np.array([width, height, width, height], np.float32)
        relative = xyxy_to_cxcywh(boxes_xyxy.reshape(-1, 4) / sides).astype(np.float32)
        usable = (relative[:, 2:] > 0).all(axis=1) | (not drop_empty)
        labels.append(image_labels[usable])
        boxes.append(relative[usable])
    return Targets(labels, boxes)


@dataclass(frozen=True)
class Matches:
    """M pairs: image, query of the image, box of the image; all (M,) int64."""

    images: np.ndarray
    queries: np.ndarray
    truths: np.ndarray

    @staticmethod
    def of(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Matches:
        """From (queries, truths) of every image."""
        images = [np.full(len(queries), image) for image, (queries, _) in enumerate(pairs)]
        queries, truths = ([pair[side] for pair in pairs] for side in (0, 1))
        columns = (np.concatenate(parts).astype(np.int64) for parts in (images, queries, truths))
        return Matches(*columns)

    def labels(self, targets: Targets) -> np.ndarray:
        """(M,) labels of the boxes."""
        return self._of_truths(targets.labels).astype(np.int64)

    def boxes(self, targets: Targets) -> np.ndarray:
        """(M, 4) the boxes."""
        return self._of_truths(targets.boxes).reshape(-1, 4).astype(np.float32)

    def _of_truths(self, values: list[np.ndarray]) -> np.ndarray:
        starts = np.cumsum([0] + [len(rows) for rows in values])
        return np.concatenate(values)[starts[self.images] + self.truths]


ClassCost = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Logits (Q, C) and labels (G,) of an image to the class part of the cost (Q, G)."""


def match(
    class_cost: ClassCost, logits_NQC: np.ndarray, boxes_NQ4: np.ndarray, targets: Targets
) -> Matches:
    """Each image's boxes with the queries that fit them best in class, L1 distance and GIoU."""
    pairs = []
    images = zip(logits_NQC, boxes_NQ4, targets.labels, targets.boxes, strict=True)
    for logits, boxes, labels, truth in images:
        distances = np.abs(boxes[:, None] - truth[None]).sum(axis=-1)
        overlaps = pairwise_giou_numpy(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(truth), RELATIVE_FLOOR)
        cost = class_cost(logits, labels) + L1_WEIGHT * distances - GIOU_WEIGHT * overlaps
        pairs.append(assign(cost))
    return Matches.of(pairs)


def matched_rows(values_NQX: jt.Var, matches: Matches) -> jt.Var:
    """(M, X): the rows of the matched queries."""
    queries, width = values_NQX.shape[1:]
    rows = (matches.images * queries + matches.queries).astype(np.int32)
    return values_NQX.reshape(-1, width)[jt.array(rows)]


def box_losses(boxes_NQ4: jt.Var, matches: Matches, targets: Targets) -> tuple[jt.Var, jt.Var]:
    """Sums of L1 distances and of 1 - GIoU over the matched pairs."""
    if not len(matches.images):
        zero = (boxes_NQ4 * 0.0).sum()
        return zero, zero
    predicted, truth = matched_rows(boxes_NQ4, matches), matches.boxes(targets)
    corners = cxcywh_to_xyxy(predicted)
    distance = losses.l1_loss(predicted, truth)
    overlap = losses.giou_loss(corners, cxcywh_to_xyxy(truth), floor=RELATIVE_FLOOR)
    return distance, overlap
