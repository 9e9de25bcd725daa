"""Training targets of OLN's region proposal head: matching and sampling of anchors, in numpy.

A: anchors, G: ground-truth boxes, K, J: sampled rows. Images are processed one at a time;
`sampled_rows.concatenate` joins their rows.
Source: UniDetector models/dense_heads/oln_rpn_head.py 245-403.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from unidet.models.sampled_rows import with_zeros
from unidet.ops.anchors import anchors_inside, centerness
from unidet.ops.iou_assignment import match_by_max_iou
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.ops.sampling import Shuffler, sample_random


@dataclass
class AnchorTargets:
    """Sampled anchors of one image or, concatenated, of a batch.

    Attributes:
        box_images, box_anchors: (K,) images and anchors with a box target.
        boxes: (K, 4) their ground truth.
        box_samples: positives + negatives of the box sampler, each at least 1 per image; the
            official losses are divided by it.
        objectness_images, objectness_anchors: (J,) images and anchors with an objectness target.
        objectness: (J,) centerness, or 1 for positives and 0 for negatives with the target `iou`.
    """

    box_images: np.ndarray
    box_anchors: np.ndarray
    boxes: np.ndarray
    box_samples: np.ndarray
    objectness_images: np.ndarray
    objectness_anchors: np.ndarray
    objectness: np.ndarray

    @property
    def boxes_learned(self) -> int:
        """Number of anchors with a box target."""
        return len(self.boxes)


AnchorSampler = Callable[[int, np.ndarray, np.ndarray, tuple[int, int], Shuffler], AnchorTargets]
"""(image row, anchors (A, 4), ground truth (G, 4), (height, width), rng) -> targets."""


@dataclass(frozen=True)
class AnchorDraw:
    """Anchors that the two samplers chose in one image, and the boxes of the positives."""

    box_positives: np.ndarray
    boxes: np.ndarray
    box_negatives: np.ndarray
    objectness_positives: np.ndarray
    objectness_boxes: np.ndarray
    objectness_negatives: np.ndarray


@dataclass(frozen=True)
class SampledAnchors:
    """Official targets: two samplers of the anchors inside the image.

    One chooses anchors with high IoU for boxes, the other with low IoU for centerness, filled up to
    `count` with negatives. Thresholds are (lower limit of positives, upper limit of negatives).
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
        """The anchors chosen by both samplers; the box sampler draws first."""
        rows = np.flatnonzero(anchors_inside(anchors, *size))
        iou = pairwise_iou_numpy(boxes, anchors[rows])
        picked: list[np.ndarray] = []
        for thresholds, fraction in ((self.box_iou, 0.5), (self.objectness_iou, 1.0)):
            matched = match_by_max_iou(iou, *thresholds, self.minimum_iou, low_quality=True)
            positives, negatives = sample_random(matched, self.count, fraction, rng)
            picked += [rows[positives], boxes[matched[positives]], rows[negatives]]
        return AnchorDraw(*picked)

    def targets(self, image: int, anchors: np.ndarray, draw: AnchorDraw) -> AnchorTargets:
        """Targets of the chosen anchors.

        With `skip_border_boxes`, anchors of a ground truth with x1 <= 0 or y1 <= 0 have no box
        target, as in the official code (oln_rpn_head.py 320-325).
        """
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
            with_zeros(central, negatives),
        )


@dataclass(frozen=True)
class DenseAnchors:
    """Objectness targets for all anchors with their centre in the image, box targets for positives.

    There is one matching, with thresholds as in `SampledAnchors`, and no random sampling.
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
            with_zeros(np.ones(len(positives), np.float32), len(negatives)),
        )
