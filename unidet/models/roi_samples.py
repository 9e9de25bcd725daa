"""Sampling of the RoI classifier's training regions and of the classes in its loss, in numpy.

N: images, R: sampled regions of a batch, C: categories of a dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from unidet.models.federated_classes import federated_classes
from unidet.ops.coders import encode_deltas
from unidet.ops.iou_assignment import match_by_max_iou
from unidet.ops.numpy_boxes import pairwise_iou_numpy
from unidet.ops.sampling import BatchRandom, RandomSource, batch_rng, image_rng, sample_random
from unidet.records import Batch, part_size

POSITIVE_IOU = 0.5
_UNIT_BOX = np.array([0, 0, 1, 1], np.float32)

Anywhere = Callable[[np.ndarray], np.ndarray]
"""Combines bool flags of this process with those of all others by elementwise "or"."""


def nowhere_else(flags: np.ndarray) -> np.ndarray:
    """`Anywhere` of a single process: return the flags unchanged."""
    return flags


@dataclass(frozen=True)
class RoiSamples:
    """Regions with their targets, image after image.

    Attributes:
        rois_R5: float32 (image, x1, y1, x2, y2), in input pixels.
        labels_R: int64, index among the names of the image's dataset; C is background.
        targets_R4: float32 deltas to the matched box, 0 for background.
        datasets_N: dataset of each image.
    """

    rois_R5: np.ndarray
    labels_R: np.ndarray
    targets_R4: np.ndarray
    datasets_N: np.ndarray

    @property
    def images_R(self) -> np.ndarray:
        return self.rois_R5[:, 0].astype(np.int64)

    def of_images(self, first: int, last: int) -> RoiSamples:
        """The samples of images `first` to `last` - 1, which are renumbered from 0."""
        rows = (self.images_R >= first) & (self.images_R < last)
        rois: np.ndarray = self.rois_R5[rows] - np.array([first, 0, 0, 0, 0], np.float32)
        datasets = self.datasets_N[first:last]
        return RoiSamples(rois, self.labels_R[rows], self.targets_R4[rows], datasets)


@dataclass(frozen=True)
class RoiBatch:
    """The training data of one step.

    Attributes:
        images_NCHW: as in `Batch`.
        samples: the images' regions.
        classes: per image, the classes that its regions are compared with.
    """

    images_NCHW: np.ndarray
    samples: RoiSamples
    classes: list[np.ndarray]

    def parts(self, count: int) -> list[RoiBatch]:
        """As `Batch.parts`."""
        images = len(self.classes)
        size = part_size(images, count)
        return [
            RoiBatch(
                self.images_NCHW[first : first + size],
                self.samples.of_images(first, first + size),
                self.classes[first : first + size],
            )
            for first in range(0, images, size)
        ]


def sample_rois(
    batch: Batch,
    class_counts: Sequence[int],
    rng: RandomSource,
    *,
    count: int,
    positive_fraction: float,
) -> RoiSamples:
    """At most `count` regions per image, at most int(count * positive_fraction) of them positive.

    Candidates are the ground-truth boxes, each matched to itself, and the proposals. A proposal is
    positive if its IoU is at least `POSITIVE_IOU`, otherwise negative. An image with too few
    candidates has fewer regions. Same as mmdet standard_roi_head.py and base_sampler.py with
    add_gt_as_proposals, as in UniDetector's 2ndstage configs.

    Raises:
        ValueError: the batch has no proposals, or a label outside its dataset's names.
    """
    if batch.proposals is None:
        raise ValueError("the batch carries no proposals")
    rois, labels, matched = [], [], []
    for image, (boxes, own, proposals) in enumerate(
        zip(batch.boxes, batch.labels, batch.proposals, strict=True)
    ):
        background = class_counts[batch.dataset_ids[image]]
        _check_labels(own, background, image)
        iou = pairwise_iou_numpy(boxes, proposals[:, :4])
        assigned = match_by_max_iou(iou, POSITIVE_IOU, POSITIVE_IOU, POSITIVE_IOU, False)
        assigned = np.concatenate([np.arange(len(boxes)), assigned])
        candidates = np.concatenate([boxes, proposals[:, :4]]).astype(np.float32)
        positives, negatives = sample_random(
            assigned, count, positive_fraction, image_rng(rng, image)
        )
        sampled = np.concatenate([positives, negatives])
        rois.append(np.insert(candidates[sampled], 0, image, axis=1))
        labels.append(
            np.concatenate([own[assigned[positives]], np.full(len(negatives), background)])
        )
        matched.append(boxes[assigned[positives]])
        matched.append(np.full((len(negatives), 4), np.nan, np.float32))
    return RoiSamples(
        rois_R5=np.concatenate(rois),
        labels_R=np.concatenate(labels).astype(np.int64),
        targets_R4=_deltas(np.concatenate(rois)[:, 1:], np.concatenate(matched)),
        datasets_N=batch.dataset_ids,
    )


def annotated_boxes(batch: Batch, class_counts: Sequence[int]) -> RoiSamples:
    """The annotated boxes and one background region per image, in place of sampled regions."""
    rois, labels = [], []
    for image, (boxes, own) in enumerate(zip(batch.boxes, batch.labels, strict=True)):
        background = class_counts[batch.dataset_ids[image]]
        _check_labels(own, background, image)
        regions = np.concatenate([boxes, _UNIT_BOX[None]]).astype(np.float32)
        rois.append(np.insert(regions, 0, image, axis=1))
        labels.append(np.append(own, background))
    regions_R5 = np.concatenate(rois)
    return RoiSamples(
        rois_R5=regions_R5,
        labels_R=np.concatenate(labels).astype(np.int64),
        targets_R4=np.zeros((len(regions_R5), 4), np.float32),
        datasets_N=batch.dataset_ids,
    )


def _check_labels(labels: np.ndarray, class_count: int, image: int) -> None:
    if len(labels) and not 0 <= labels.min() <= labels.max() < class_count:
        raise ValueError(
            f"image {image} of the batch has labels {labels.min()} .. {labels.max()}, "
            f"its dataset {class_count} names"
        )


def _deltas(rois_R4: np.ndarray, matched_R4: np.ndarray) -> np.ndarray:
    """Deltas (R, 4); 0 where the matched box is NaN (background)."""
    if not len(rois_R4):
        return np.zeros((0, 4), np.float32)
    background = np.isnan(matched_R4)
    references = np.where(background, _UNIT_BOX, rois_R4)
    return encode_deltas(references, np.where(background, _UNIT_BOX, matched_R4)).numpy()


def draw_classes(
    samples: RoiSamples,
    class_counts: Sequence[int],
    rng: BatchRandom | np.random.Generator,
    *,
    count: int,
    allowed: Sequence[np.ndarray | None],
    anywhere: Anywhere = nowhere_else,
) -> list[np.ndarray]:
    """Classes that the regions of each image are compared with: N arrays of class indices.

    With one dataset they are drawn once, given the labels of all processes' images
    (bbox_head_clip.py lines 315-357). With several datasets they are drawn for each image, given
    its own labels (bbox_head_clip_partitioned.py lines 315-363). Only classes with `allowed` true
    are drawn.
    """
    if len(class_counts) == 1:
        present = np.zeros(class_counts[0] + 1, bool)  # including the background
        present[samples.labels_R] = True
        labels = np.flatnonzero(anywhere(present))
        drawn = federated_classes(labels, count, class_counts[0], allowed[0], batch_rng(rng))
        return [drawn] * len(samples.datasets_N)
    return [
        federated_classes(
            samples.labels_R[samples.images_R == image],
            count,
            class_counts[dataset],
            allowed[dataset],
            image_rng(rng, image),
        )
        for image, dataset in enumerate(samples.datasets_N)
    ]


def class_weights(
    samples: RoiSamples, class_counts: Sequence[int], classes: Sequence[np.ndarray], rows: int
) -> list[np.ndarray]:
    """Weights of (region, name) pairs in the classification loss: (rows, C) float32 per dataset.

    With one dataset each region has weight 1. With several, the weights of an image's regions sum
    to 1. Rows of other datasets' images, and padding after R, have weight 0.
    """
    weights = [np.zeros((rows, count), np.float32) for count in class_counts]
    for image, dataset in enumerate(samples.datasets_N):
        own = np.flatnonzero(samples.images_R == image)
        if len(own):
            share = 1.0 if len(class_counts) == 1 else 1.0 / len(own)
            weights[dataset][np.ix_(own, classes[image])] = share
    return weights
