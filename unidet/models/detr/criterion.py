"""DETR's losses: cross entropy with a down-weighted "no object", L1 and GIoU of every layer.

N images, Q queries, G ground-truth boxes of an image, C classes; logit C means "no object".
Source: detr models/matcher.py, models/detr.py `SetCriterion`.
"""

from __future__ import annotations

import numpy as np

from unidet.models.matcher import GIOU_WEIGHT, L1_WEIGHT, Matches, Targets, match
from unidet.models.set_prediction import Prediction, box_losses
from unidet.ops import losses
from unidet.ops.loss_term import Losses, LossTerm

NO_OBJECT_WEIGHT = 0.1


def class_cost(logits_QC: np.ndarray, labels_G: np.ndarray) -> np.ndarray:
    """Minus the softmax score of a box's label (Q, G)."""
    shifted = np.exp(logits_QC - logits_QC.max(axis=1, keepdims=True))
    return -(shifted / shifted.sum(axis=1, keepdims=True))[:, labels_G]


def match_queries(prediction: Prediction, targets: Targets) -> Matches:
    """The images' boxes with the queries of one layer."""
    logits, boxes = prediction.logits.numpy(), prediction.boxes.numpy()
    return match(class_cost, logits, boxes, targets)


def layer_losses(prediction: Prediction, matches: Matches, targets: Targets) -> Losses:
    """`loss_ce`, divided by the queries' weights, `loss_bbox` and `loss_giou`, by the number of
    boxes, of one layer."""
    images, queries, outputs = prediction.logits.shape
    labels = np.full((images, queries), outputs - 1)
    labels[matches.images, matches.queries] = matches.labels(targets)
    weights = np.where(labels == outputs - 1, NO_OBJECT_WEIGHT, 1).astype(np.float32).ravel()
    logits = prediction.logits.reshape(images * queries, outputs)
    total = float(weights.sum(dtype=np.float64))
    distance, overlap = box_losses(prediction.boxes, matches, targets)
    classes = losses.cross_entropy(logits, labels.ravel(), weights)
    return {
        "loss_ce": LossTerm(classes, total, least=0.0),
        "loss_bbox": LossTerm(distance, targets.count, L1_WEIGHT),
        "loss_giou": LossTerm(overlap, targets.count, GIOU_WEIGHT),
    }


def class_error(prediction: Prediction, matches: Matches, targets: Targets) -> float:
    """Per cent of the matched queries whose best logit is not their label's; 100 for none."""
    if not len(matches.images):
        return 100.0
    best = prediction.logits.numpy()[matches.images, matches.queries].argmax(axis=1)
    return 100.0 - 100.0 * float(np.mean(best == matches.labels(targets)))


def cardinality_error(prediction: Prediction, targets: Targets) -> float:
    """Mean over images of |queries that see an object - boxes|."""
    logits = prediction.logits.numpy()
    objects = (logits.argmax(axis=2) != logits.shape[2] - 1).sum(axis=1)
    return float(np.abs(objects - [len(labels) for labels in targets.labels]).mean())
