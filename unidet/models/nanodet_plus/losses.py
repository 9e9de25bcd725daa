"""What one head of NanoDet-Plus learns from an assignment.

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
from unidet.ops.distributions import distances_to
from unidet.ops.whole_batch import mean_count

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
    for image, (found, truth, names) in enumerate(zip(assignments, boxes, labels, strict=True)):
        priors, chosen = priors_P4[found.positives], truth[found.matched].reshape(-1, 4)
        distances = distances_to(priors[:, :2], chosen) / priors[:, 2:3]
        parts.append(
            (
                (image * len(priors_P4) + found.positives).astype(np.int32),
                np.asarray(names)[found.matched].astype(np.int64),
                found.soft_labels,
                chosen,
                distances.clip(0, bins - 1 - 0.1).astype(np.float32),
            )
        )
    return Targets(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def head_losses(output: Predictions, targets: Targets, *, over_ranks: bool) -> dict[str, jt.Var]:
    """`qfl`, `bbox` and `dfl`, weighted; each a number.

    Box losses count a positive by the confidence of this head. With `over_ranks` the normalisers
    are averaged over the parts of a batch (`ops.whole_batch`), as was meant; the official code
    drops the average (gfl_head.py lines 28-33).
    """
    shared = mean_count if over_ranks else float
    count = max(shared(len(targets.rows)), 1.0)
    logits = output.class_logits.reshape((-1, output.classes))
    qualities = np.zeros(tuple(logits.shape), np.float32)
    qualities[targets.rows, targets.labels] = targets.soft_labels
    quality = losses.quality_focal_loss(logits, qualities, None, count)
    weights = positive_weights(output, targets)
    total = max(shared(float(weights.sum())), 1.0)
    if len(targets.rows) == 0:
        nothing = (output.side_logits * 0.0).sum()
        return {"qfl": quality, "bbox": nothing, "dfl": nothing}
    rows = jt.array(targets.rows)
    boxes = output.boxes().reshape((-1, 4))[rows]
    box = losses.giou_loss(boxes, targets.boxes, weights, total) * BOX_WEIGHT
    sides = output.side_logits.reshape((-1, 4 * output.bins))[rows].reshape((-1, output.bins))
    distribution = losses.distribution_focal_loss(
        sides, targets.distances.ravel(), weights.repeat(4), 4 * total
    )
    return {"qfl": quality, "bbox": box, "dfl": distribution * DISTRIBUTION_WEIGHT}


def positive_weights(output: Predictions, targets: Targets) -> np.ndarray:
    """(M,) how sure the head is of its best class at each positive."""
    if not len(targets.rows):
        return np.zeros(0, np.float32)
    logits = output.class_logits.detach().reshape((-1, output.classes))
    return jt.sigmoid(logits[jt.array(targets.rows)]).max(dim=1).numpy()
