"""The matcher of DETR and RT-DETR: one-to-one matching of ground truth and queries by cost.

N: images, Q: queries, G: ground-truth boxes of an image, M: matched pairs of a batch. Boxes are
cxcywh relative to the image size. Sources: detr models/matcher.py; RT-DETR
src/zoo/rtdetr/matcher.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unidet.ops.boxes import RELATIVE_FLOOR, cxcywh_to_xyxy, xyxy_to_cxcywh
from unidet.ops.hungarian import assign
from unidet.ops.numpy_boxes import pairwise_giou_numpy
from unidet.records import Batch

L1_WEIGHT = 5.0
GIOU_WEIGHT = 2.0


@dataclass(frozen=True)
class Targets:
    """Ground truth: per image labels (G,) and boxes (G, 4)."""

    labels: list[np.ndarray]
    boxes: list[np.ndarray]

    @property
    def count(self) -> int:
        """Number of boxes of all images."""
        return sum(len(labels) for labels in self.labels)


def relative_targets(batch: Batch, sizes_N2: np.ndarray, *, drop_empty: bool) -> Targets:
    """The ground truth of the batch, relative to `sizes_N2` (height, width).

    `drop_empty` removes degenerate boxes, which the official code keeps.
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
        """Matches of (queries, ground-truth rows) per image."""
        images = [np.full(len(queries), image) for image, (queries, _) in enumerate(pairs)]
        queries, truths = ([pair[side] for pair in pairs] for side in (0, 1))
        columns = (np.concatenate(parts).astype(np.int64) for parts in (images, queries, truths))
        return Matches(*columns)

    def labels(self, targets: Targets) -> np.ndarray:
        """Labels (M,) of the matched boxes."""
        return self._of_truths(targets.labels).astype(np.int64)

    def boxes(self, targets: Targets) -> np.ndarray:
        """The matched boxes (M, 4)."""
        return self._of_truths(targets.boxes).reshape(-1, 4).astype(np.float32)

    def _of_truths(self, values: list[np.ndarray]) -> np.ndarray:
        starts = np.cumsum([0] + [len(rows) for rows in values])
        return np.concatenate(values)[starts[self.images] + self.truths]


ClassCost = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Logits (Q, C) and labels (G,) of an image -> classification cost (Q, G)."""


def match(
    class_cost: ClassCost, logits_NQC: np.ndarray, boxes_NQ4: np.ndarray, targets: Targets
) -> Matches:
    """Match each image's boxes with queries by class, L1 distance and GIoU."""
    pairs = []
    images = zip(logits_NQC, boxes_NQ4, targets.labels, targets.boxes, strict=True)
    for logits, boxes, labels, truth in images:
        distances = np.abs(boxes[:, None] - truth[None]).sum(axis=-1)
        overlaps = pairwise_giou_numpy(cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(truth), RELATIVE_FLOOR)
        cost = class_cost(logits, labels) + L1_WEIGHT * distances - GIOU_WEIGHT * overlaps
        pairs.append(assign(cost))
    return Matches.of(pairs)
