"""What the class-agnostic localization network learns from: matching and sampling, in numpy.

A anchors, G ground-truth boxes, P proposals, K chosen rows. One image at a time; the rows of all
images are then put one after another.
Sources: UniDetector models/dense_heads/oln_rpn_head.py 245-403, mmdet 2.18 standard_roi_head.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from unidet.ops.anchors import centerness, inside
from unidet.ops.iou_assignment import match_by_max_iou
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.ops.sampling import Shuffler, sample_random


@dataclass
class AnchorTargets:
    """Chosen anchors of one image or, concatenated, of a batch.

    Attributes:
        box_images, box_anchors: (K,) rows of the anchors that learn a box.
        boxes: (K, 4) their ground truth.
        box_samples: positives + negatives of the box sampler, each at least 1 an image; the
            official losses are divided by it.
        objectness_images, objectness_anchors: (J,) rows of the anchors that learn objectness.
        objectness: (J,) centerness; where the target is an IoU, 1 for a positive and 0 otherwise.
    """

    box_images: np.ndarray
    box_anchors: np.ndarray
    boxes: np.ndarray
    box_samples: np.ndarray
    objectness_images: np.ndarray
    objectness_anchors: np.ndarray
    objectness: np.ndarray


@dataclass
class RegionSamples:
    """Regions of one image or of a batch, positives of an image before its negatives.

    Attributes:
        rois: (K, 5) image row, x1, y1, x2, y2.
        positive: (K,) bool.
        boxes: (K, 4) ground truth of positives, zeros for negatives.
    """

    rois: np.ndarray
    positive: np.ndarray
    boxes: np.ndarray


Record = TypeVar("Record", AnchorTargets, RegionSamples)


def concatenate(parts: Sequence[Record]) -> Record:
    """One record with the rows of all `parts`."""
    kind = type(parts[0])
    columns = ([getattr(part, item.name) for part in parts] for item in fields(kind))
    return kind(*map(np.concatenate, columns))


AnchorSampler = Callable[[int, np.ndarray, np.ndarray, tuple[int, int], Shuffler], AnchorTargets]
"""(image row, anchors (A, 4), ground truth (G, 4), (height, width), rng) -> targets."""


@dataclass(frozen=True)
class AnchorDraw:
    """Rows of the anchors that two samplers picked in one image, and the positives' boxes."""

    box_positives: np.ndarray
    boxes: np.ndarray
    box_negatives: np.ndarray
    objectness_positives: np.ndarray
    objectness_boxes: np.ndarray
    objectness_negatives: np.ndarray


@dataclass(frozen=True)
class SampledAnchors:
    """Official targets: two samplers over the anchors inside the image, one for boxes at high IoU,
    one for centerness at low IoU, which negatives fill up to `count`.

    Thresholds are (at least, for a positive; below, for a negative).
    """

    box_iou: tuple[float, float]
    objectness_iou: tuple[float, float]
    minimum_iou: float
    count: int
    skip_border_boxes: bool

    def __call__(
        self,
        image: int,
        anchors: np.ndarray,
        boxes: np.ndarray,
        size: tuple[int, int],
        rng: Shuffler,
    ) -> AnchorTargets:
        """Targets of one image."""
        return self.targets(image, anchors, self.draw(anchors, boxes, size, rng))

    def draw(
        self, anchors: np.ndarray, boxes: np.ndarray, size: tuple[int, int], rng: Shuffler
    ) -> AnchorDraw:
        """What both samplers pick, that for boxes first."""
        rows = np.flatnonzero(inside(anchors, *size))
        iou = pairwise_iou_numpy(boxes, anchors[rows])
        picked: list[np.ndarray] = []
        for thresholds, fraction in ((self.box_iou, 0.5), (self.objectness_iou, 1.0)):
            matched = match_by_max_iou(iou, *thresholds, self.minimum_iou, low_quality=True)
            positives, negatives = sample_random(matched, self.count, fraction, rng)
            picked += [rows[positives], boxes[matched[positives]], rows[negatives]]
        return AnchorDraw(*picked)

    def targets(self, image: int, anchors: np.ndarray, draw: AnchorDraw) -> AnchorTargets:
        """`skip_border_boxes`: a ground truth whose x1 or y1 is <= 0 gives its anchors no box to
        learn (official, oln_rpn_head.py 320-325)."""
        learns = np.ones(len(draw.box_positives), bool)
        if self.skip_border_boxes:
            learns = (draw.boxes > 0).all(axis=1)
        negatives = len(draw.objectness_negatives)
        central = centerness(anchors[draw.objectness_positives], draw.objectness_boxes)
        return AnchorTargets(
            np.full(int(learns.sum()), image),
            draw.box_positives[learns],
            draw.boxes[learns],
            np.array([max(len(draw.box_positives), 1) + max(len(draw.box_negatives), 1)]),
            np.full(len(draw.objectness_positives) + negatives, image),
            np.concatenate([draw.objectness_positives, draw.objectness_negatives]),
            _with_zeros(central, negatives),
        )


@dataclass(frozen=True)
class DenseAnchors:
    """All anchors whose centre lies in the image learn objectness, all positives learn a box.

    One matching, thresholds as in `SampledAnchors`; nothing is drawn at random.
    """

    objectness_iou: tuple[float, float]
    minimum_iou: float

    def __call__(
        self,
        image: int,
        anchors: np.ndarray,
        boxes: np.ndarray,
        size: tuple[int, int],
        rng: Shuffler,
    ) -> AnchorTargets:
        centres = (anchors[:, :2] + anchors[:, 2:]) / 2
        rows = np.flatnonzero((centres < (size[1], size[0])).all(axis=1))
        iou = pairwise_iou_numpy(boxes, anchors[rows])
        matched = match_by_max_iou(iou, *self.objectness_iou, self.minimum_iou, low_quality=True)
        positives, negatives = np.flatnonzero(matched >= 0), np.flatnonzero(matched == -1)
        truth = boxes[matched[positives]]
        sampled = rows[np.concatenate([positives, negatives])]
        return AnchorTargets(
            np.full(len(positives), image),
            rows[positives],
            truth,
            np.array([max(len(positives), 1)]),
            np.full(len(sampled), image),
            sampled,
            _with_zeros(np.ones(len(positives), np.float32), len(negatives)),
        )


def sample_regions(
    image: int,
    proposals: np.ndarray,
    boxes: np.ndarray,
    *,
    iou: float,
    count: int,
    positive_fraction: float,
    rng: Shuffler,
) -> RegionSamples:
    """Regions of one image: ground truth (G, 4) and proposals (P, 4+), positive from `iou` on."""
    candidates = np.concatenate([boxes, proposals[:, :4]]).astype(np.float32)
    overlaps = pairwise_iou_numpy(boxes, candidates)
    matched = match_by_max_iou(overlaps, iou, iou, iou, low_quality=False)
    positives, negatives = sample_random(matched, count, positive_fraction, rng)
    sampled = candidates[np.concatenate([positives, negatives])]
    rows = np.full((len(sampled), 1), image, np.float32)
    return RegionSamples(
        np.concatenate([rows, sampled], axis=1),
        np.arange(len(sampled)) < len(positives),
        _with_zeros(boxes[matched[positives]], len(negatives)),
    )


def _with_zeros(values: np.ndarray, count: int) -> np.ndarray:
    """`values` and behind them `count` rows of zeros."""
    return np.concatenate([values, np.zeros((count, *values.shape[1:]), np.float32)])
