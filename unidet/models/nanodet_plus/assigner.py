"""The dynamic soft label assigner: matches priors with boxes, for one image, in numpy.

P priors, V of them valid, G ground-truth boxes, C classes.

Source: nanodet model/head/assigner/dsl_assigner.py; the dynamic number of priors is SimOTA's
(YOLOX, arXiv 2107.08430).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.ops.numpy_boxes import pairwise_iou_numpy

CANDIDATES = 13
IOU_FACTOR = np.float32(3.0)


@dataclass(frozen=True)
class Assignment:
    """K positive priors of one image.

    Attributes:
        positives: (K,) prior rows, ascending.
        matched: (K,) row of the box each of them learns.
        soft_labels: (K,) IoU that the decoded box reaches with it: the class target.
        valid: (V,) prior rows that lie strictly inside some box.
        iou, cost: (V, G) what the choice was made from.
        counts: (G,) priors that each box was given.
    """

    positives: np.ndarray
    matched: np.ndarray
    soft_labels: np.ndarray
    valid: np.ndarray
    iou: np.ndarray
    cost: np.ndarray
    counts: np.ndarray


def assign(
    class_logits: np.ndarray,
    decoded_boxes: np.ndarray,
    points: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
) -> Assignment:
    """Assign (P, C) logits and (P, 4) decoded boxes at (P, 2) points to (G, 4) boxes.

    A box gets as many priors as its 13 best overlaps sum up to, at least one: those of the lowest
    cost, classification plus 3 times -ln IoU. A prior wanted by several goes to the box for which
    it costs least among all. Priors outside their own box are not excluded; without any box, or
    any prior inside a box, everything is background.
    """
    valid = np.flatnonzero(_inside_any(points, boxes))
    iou = pairwise_iou_numpy(decoded_boxes[valid], boxes)
    if iou.size == 0:
        no_rows = np.zeros(0, np.int64)
        empty = np.zeros(0, np.float32)
        return Assignment(no_rows, no_rows, empty, valid, iou, iou, np.zeros(len(boxes), np.int64))
    cost = class_cost(class_logits[valid], iou, labels) - IOU_FACTOR * np.log(
        iou + np.float32(1e-7)
    )
    counts = dynamic_counts(iou)
    rows, matched = _cheapest(cost, counts)
    return Assignment(valid[rows], matched, iou[rows, matched], valid, iou, cost, counts)


def class_cost(logits_VC: np.ndarray, iou_VG: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(V, G) sum over the classes of BCE(x, t) * |t - sigmoid(x)|^2; t: IoU at the box's class.

    All classes but the box's have target 0, whatever the box, so they are summed once.
    """
    probabilities = 1 / (1 + np.exp(-logits_VC))
    softplus = np.logaddexp(np.float32(0), logits_VC)
    background = softplus * probabilities**2
    own_logits, own_probabilities = logits_VC[:, labels], probabilities[:, labels]
    own = (softplus[:, labels] - own_logits * iou_VG) * (iou_VG - own_probabilities) ** 2
    return background.sum(axis=1, keepdims=True) - background[:, labels] + own


def dynamic_counts(iou_VG: np.ndarray) -> np.ndarray:
    """(G,) the sum of each box's 13 largest overlaps, cut to a whole number, at least 1."""
    best = -np.sort(-iou_VG, axis=0)[:CANDIDATES]
    return np.maximum(best.sum(axis=0).astype(np.int64), 1)


def _inside_any(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(P,) bool: strictly inside at least one box."""
    before = points[:, None] - boxes[None, :, :2]
    after = boxes[None, :, 2:] - points[:, None]
    return ((before > 0) & (after > 0)).all(axis=2).any(axis=1)


def _cheapest(cost: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `cost` that are taken, ascending, and the box each goes to."""
    taken = np.zeros(cost.shape, bool)
    for column, count in enumerate(counts):
        taken[np.argsort(cost[:, column], kind="stable")[:count], column] = True
    disputed = taken.sum(axis=1) > 1
    taken[disputed] = False
    taken[disputed, cost[disputed].argmin(axis=1)] = True
    rows, matched = np.nonzero(taken)
    return rows, matched
