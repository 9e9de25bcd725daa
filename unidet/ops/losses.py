"""Loss functions. Each returns sum(weights * loss) as a tensor of shape (1,).

Without rows (N = 0) loss and gradient are 0. `weights` broadcast; None means 1. Sums are divided
later, see `LossTerm`.
"""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.ops.boxes import Array, areas, as_var, elementwise_iou, intersections
from unidet.ops.numpy_boxes import UNION_FLOOR

_BLOCK = 256


def weighted_sum(losses: jt.Var, weights: Array | None = None) -> jt.Var:
    """sum(losses * weights), (1,).

    Blocks are summed first: one running float32 sum of 10^5 numbers has an error of 1e-4.
    """
    if 0 in losses.shape:
        return (losses * 0.0).sum()
    if weights is not None:
        losses = losses * as_var(weights).broadcast(losses)
    values = losses.reshape((-1,))
    while values.shape[0] > _BLOCK:
        missing = -values.shape[0] % _BLOCK
        if missing:
            values = jt.concat([values, jt.zeros((missing,))])
        values = values.reshape((-1, _BLOCK)).sum(dim=1)
    return values.sum()


class _BinaryCrossEntropy(jt.Function):
    """Elementwise BCE. Its gradient is explicit, as max and abs have no gradient at logit 0."""

    def execute(self, logits: jt.Var, targets: jt.Var) -> jt.Var:
        self.saved = logits, targets
        return jt.maximum(logits, 0.0) - logits * targets + jt.log(1.0 + jt.exp(-jt.abs(logits)))

    def grad(self, grad: jt.Var) -> tuple[jt.Var, None]:
        logits, targets = self.saved
        return grad * (jt.sigmoid(logits) - targets), None


def binary_cross_entropy(logits: jt.Var, targets: Array, weights: Array | None = None) -> jt.Var:
    """Sigmoid cross entropy of logits and targets in [0, 1] of the same shape."""
    elements = _BinaryCrossEntropy.apply(logits, as_var(targets).detach())
    return weighted_sum(elements, weights)


def quality_focal_loss(
    logits: jt.Var, qualities: Array, weights: Array | None = None, beta: float = 2.0
) -> jt.Var:
    """|quality - sigmoid(logit)|^beta * BCE of logits (N, C) and qualities (N, C).

    Qualities are 0 for classes other than the row's own. Generalized Focal Loss (arXiv 2006.04388)
    eq. 3; mmdet gfocal_loss.py `quality_focal_loss`.
    """
    targets = as_var(qualities).detach()
    gap = jt.abs(targets - jt.sigmoid(logits))
    focus = gap * gap if beta == 2.0 else gap**beta
    elements = _BinaryCrossEntropy.apply(logits, targets) * focus
    return weighted_sum(elements, weights)


def varifocal_loss(logits: jt.Var, qualities: np.ndarray, positive: np.ndarray) -> jt.Var:
    """Weighted BCE of logits (N, C) and qualities (N, C), which are 0 where `positive` is 0.

    `positive` (N, C) is one-hot. Weights are the quality where it is 1, and
    0.75 * sigmoid(logit)^2 elsewhere. VarifocalNet (arXiv 2008.13367) eq. 2 as in RT-DETR.
    """
    probabilities = jt.sigmoid(logits).detach()
    weights = 0.75 * probabilities * probabilities * jt.array(1 - positive) + jt.array(qualities)
    return binary_cross_entropy(logits, qualities, weights)


def cross_entropy(logits: jt.Var, labels: np.ndarray, weights: Array | None = None) -> jt.Var:
    """Softmax cross entropy of logits (N, K) and labels (N,) in 0 .. K-1; weights (N,).

    ValueError where a label is out of range; Jittor would read a zero there.
    """
    count, classes = logits.shape
    labels = np.asarray(labels)
    if count == 0:
        return weighted_sum(logits)
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels {labels.min()} .. {labels.max()}, must be in 0 .. {classes - 1}")
    elements = _soft_cross_entropy(logits, one_hot(labels, classes))
    return weighted_sum(elements, weights)


def _soft_cross_entropy(logits: jt.Var, targets: np.ndarray) -> jt.Var:
    """-sum(target * log softmax) of each row, (N,); rows of `targets` (N, K) sum to 1."""
    shifted = logits - logits.max(dim=1, keepdims=True).detach()
    log_sums = jt.log(jt.exp(shifted).sum(dim=1))
    return log_sums - (shifted * jt.array(targets)).sum(dim=1)


def distribution_focal_loss(
    logits: jt.Var, positions: np.ndarray, weights: Array | None = None
) -> jt.Var:
    """Cross entropy of logits (N, K) with the two bins next to each position in [0, K - 1).

    The targets of the two bins sum to 1 and interpolate the position linearly; weights (N,).
    Generalized Focal Loss (arXiv 2006.04388) eq. 6; mmdet gfocal_loss.py `distribution_focal_loss`.
    ValueError where a position is out of range.
    """
    count, bins = logits.shape
    if count == 0:
        return weighted_sum(logits)
    positions = np.asarray(positions, np.float32)
    if positions.min() < 0 or positions.max() >= bins - 1:
        span = f"{positions.min()} .. {positions.max()}"
        raise ValueError(f"positions {span}, must be >= 0 and < {bins - 1}")
    lower = np.floor(positions)
    upper_part = (positions - lower)[:, None]
    targets = one_hot(lower, bins) * (1 - upper_part) + one_hot(lower + 1, bins) * upper_part
    return weighted_sum(_soft_cross_entropy(logits, targets), weights)


def l1_loss(values: jt.Var, targets: Array, weights: Array | None = None) -> jt.Var:
    """Sum of absolute differences."""
    return weighted_sum(jt.abs(values - as_var(targets)), weights)


def iou_loss(
    boxes: jt.Var, targets: Array, weights: Array | None = None, floor: float = 1e-6
) -> jt.Var:
    """1 - max(IoU, floor) of boxes and targets (N, 4) row by row; weights (N,).

    Boxes that do not overlap receive no gradient. Same as mmdet iou_loss.py `iou_loss` with mode
    'linear'.
    """
    if boxes.shape[0] == 0:
        return weighted_sum(boxes)
    overlaps = elementwise_iou(boxes, targets)
    return weighted_sum(1.0 - jt.maximum(overlaps, floor), weights)


def giou_loss(
    boxes: jt.Var,
    targets: Array,
    weights: Array | None = None,
    floor: float = UNION_FLOOR,
) -> jt.Var:
    """1 - GIoU of boxes and targets (N, 4) row by row; weights (N,). arXiv 1902.09630."""
    if boxes.shape[0] == 0:
        return weighted_sum(boxes)
    others = as_var(targets)
    shared = intersections(boxes, others)
    union = jt.maximum(areas(boxes) + areas(others) - shared, floor)
    low = jt.minimum(boxes[:, :2], others[:, :2])
    high = jt.maximum(boxes[:, 2:], others[:, 2:])
    sides = jt.maximum(high - low, 0.0)
    hull = jt.maximum(sides[:, 0] * sides[:, 1], floor)
    return weighted_sum(1.0 - shared / union + (hull - union) / hull, weights)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Labels (N,) -> (N, classes) float32; a label outside 0 .. classes-1 gives a row of zeros."""
    return (np.asarray(labels)[:, None] == np.arange(classes)[None, :]).astype(np.float32)
