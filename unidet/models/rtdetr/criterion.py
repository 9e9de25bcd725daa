"""RT-DETR's losses: varifocal classification, L1 and GIoU of every layer's boxes.

N images, Q queries, G ground-truth boxes of an image, C classes.
Source: RT-DETR src/zoo/rtdetr/matcher.py lines 60-110, rtdetr_criterion.py.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.models.matcher import GIOU_WEIGHT, L1_WEIGHT, Matches, Targets, match
from unidet.models.set_prediction import Prediction, box_losses
from unidet.ops import losses
from unidet.ops.boxes import RELATIVE_FLOOR, cxcywh_to_xyxy, elementwise_iou
from unidet.ops.loss_term import Losses, LossTerm, tally
from unidet.ops.losses import one_hot

CLASS_WEIGHT = 2.0
ALPHA = 0.25
LOG_FLOOR = np.float32(1e-8)


def class_cost(logits_QC: np.ndarray, labels_G: np.ndarray) -> np.ndarray:
    """Weighted focal cost (Q, G) of giving a query a box's label, less that of giving it none."""
    probabilities = 1 / (1 + np.exp(-logits_QC[:, labels_G].astype(np.float32)))
    positive = ALPHA * (1 - probabilities) ** 2 * -np.log(probabilities + LOG_FLOOR)
    negative = (1 - ALPHA) * probabilities**2 * -np.log(1 - probabilities + LOG_FLOOR)
    return CLASS_WEIGHT * (positive - negative)


def match_queries(prediction: Prediction, targets: Targets) -> Matches:
    """The images' boxes with the queries of one layer."""
    logits, boxes = prediction.logits.numpy(), prediction.boxes.numpy()
    return match(class_cost, logits, boxes, targets)


def layer_losses(
    prediction: Prediction, matches: Matches, targets: Targets, count: float
) -> Losses:
    """`loss_vfl`, `loss_bbox`, `loss_giou` of one layer, divided by `count`."""
    distance, overlap = box_losses(prediction.boxes, matches, targets)
    return {
        "loss_vfl": LossTerm(_class_loss(prediction, matches, targets), count),
        "loss_bbox": LossTerm(distance, count, L1_WEIGHT),
        "loss_giou": LossTerm(overlap, count, GIOU_WEIGHT),
    }


def no_losses() -> Losses:
    """The same of no queries."""
    return {name: tally(0.0) for name in ("loss_vfl", "loss_bbox", "loss_giou")}


def _class_loss(prediction: Prediction, matches: Matches, targets: Targets) -> jt.Var:
    images, queries, classes = prediction.logits.shape
    labels = np.full((images, queries), classes)
    fits = np.zeros((images, queries), np.float32)
    if len(matches.images):
        matched = prediction.boxes.numpy()[matches.images, matches.queries]
        pairs = cxcywh_to_xyxy(matched), cxcywh_to_xyxy(matches.boxes(targets))
        fits[matches.images, matches.queries] = elementwise_iou(*pairs, RELATIVE_FLOOR).numpy()
        labels[matches.images, matches.queries] = matches.labels(targets)
    positive = one_hot(labels.ravel(), classes)
    logits = prediction.logits.reshape(images * queries, classes)
    return losses.varifocal_loss(logits, positive * fits.reshape(-1, 1), positive)
