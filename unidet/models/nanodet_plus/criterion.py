"""The losses of one NanoDet-Plus head.

N images, P priors, C classes, M positives of the whole batch.

Source: nanodet model/head/nanodet_plus_head.py lines 150-293.
"""

from __future__ import annotations

from dataclasses import dataclass

import jittor as jt
import numpy as np

from unidet.models.nanodet_plus.assigner import Assignment
from unidet.models.nanodet_plus.predictions import Predictions
from unidet.ops import losses
from unidet.ops.distributions import encode_distances
from unidet.ops.loss_term import Losses, LossTerm

BOX_WEIGHT, DISTRIBUTION_WEIGHT = 2.0, 0.25


@dataclass(frozen=True)
class Targets:
    """The batch's positives, image after image; all else is background.

    Attributes:
        rows: (M,) int32 prior rows, counted over the images: image * P + prior.
        labels: (M,) class each of them learns, with `soft_labels` (M,) as target.
        boxes: (M, 4) xyxy in input pixels.
        distances: (M, 4) to the sides in strides, left, top, right, bottom, in [0, K - 1.1].
    """

    rows: np.ndarray
    labels: np.ndarray
    soft_labels: np.ndarray
    boxes: np.ndarray
    distances: np.ndarray


def targets_of(
    assignments: list[Assignment],
    boxes: list[np.ndarray],
    labels: list[np.ndarray],
    priors_P4: np.ndarray,
    bins: int,
) -> Targets:
    """Assignments of every image as one record."""
    parts = []
    for image, (assignment, truth, names) in enumerate(
        zip(assignments, boxes, labels, strict=True)
    ):
        priors = priors_P4[assignment.positives]
        matched_boxes = truth[assignment.matched].reshape(-1, 4)
        distances = encode_distances(priors[:, :2], matched_boxes) / priors[:, 2:3]
        parts.append(
            (
                (image * len(priors_P4) + assignment.positives).astype(np.int32),
                np.asarray(names)[assignment.matched].astype(np.int64),
                assignment.soft_labels,
                matched_boxes,
                distances.clip(0, bins - 1 - 0.1).astype(np.float32),
            )
        )
    return Targets(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def head_losses(output: Predictions, targets: Targets) -> Losses:
    """`qfl`, divided by the number of positives, `bbox` and `dfl`.

    Box losses count a positive by the confidence of this head, which has no gradient here.
    """
    logits = output.class_logits.reshape((-1, output.classes))
    qualities = np.zeros(tuple(logits.shape), np.float32)
    qualities[targets.rows, targets.labels] = targets.soft_labels
    quality = losses.quality_focal_loss(logits, qualities)
    weights = positive_weights(output, targets)
    box, distribution = _box_losses(output, targets, weights)
    total = float(weights.sum())
    return {
        "qfl": LossTerm(quality, len(targets.rows)),
        "bbox": LossTerm(box, total, BOX_WEIGHT),
        "dfl": LossTerm(distribution, 4 * total, DISTRIBUTION_WEIGHT, least=4.0),
    }


def kept_apart(terms: Losses) -> Losses:
    """Each part divided by its own count, then the mean over parts: what the official code does
    where it meant to share the counts (gfl_head.py lines 28-33)."""
    return {
        name: LossTerm(term.sum / float(max(term.count, term.least)), 1.0, term.weight)
        for name, term in terms.items()
    }


def _box_losses(
    output: Predictions, targets: Targets, weights: np.ndarray
) -> tuple[jt.Var, jt.Var]:
    """Sums over the positives of 1 - GIoU, and over their sides of the distribution's loss."""
    if len(targets.rows) == 0:
        zero = (output.dfl_logits * 0.0).sum()
        return zero, zero
    rows = jt.array(targets.rows)
    boxes = output.boxes().reshape((-1, 4))[rows]
    logits = output.dfl_logits.reshape((-1, 4 * output.bins))[rows].reshape((-1, output.bins))
    positions = targets.distances.ravel()
    return (
        losses.giou_loss(boxes, targets.boxes, weights),
        losses.distribution_focal_loss(logits, positions, weights.repeat(4)),
    )


def positive_weights(output: Predictions, targets: Targets) -> np.ndarray:
    """(M,) how sure the head is of its best class at each positive."""
    if not len(targets.rows):
        return np.zeros(0, np.float32)
    logits = output.class_logits.detach().reshape((-1, output.classes))
    return jt.sigmoid(logits[jt.array(targets.rows)]).max(dim=1).numpy()
