"""Non-maximum suppression of R regions under C classes, all classes at once.

Every class scores the same R boxes, so one (R, R) matrix of decay factors serves all of them,
and a step of the greedy loop runs for every class in parallel. Within a class the scores of
successive picks never rise; hence a class whose next pick falls short of the best `limit`
detections found so far is finished, and only a few steps are needed.

Equal to mmcv's soft_nms and nms as batched_nms calls them class by class, but for two things:
boxes are not offset by class (which quantizes coordinates in float32 there; `offset_classes`
brings that back), and where scores of one class tie exactly the lower region index goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unidet.ops.numpy_boxes import broadcast_iou

Kept = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Regions (K,), classes (K,) and scores (K,) of the detections."""
Decay = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(classes (K,), picked regions (K,)) -> (K, R): what each pick leaves of its class's scores."""


@dataclass(frozen=True)
class Suppression:
    """How NMS treats the candidates of one image. Defaults are the official LVIS settings.

    Attributes:
        method: "soft" (gaussian decay), "hard" or "none".
        sigma: of the gaussian decay exp(-IoU^2 / sigma).
        min_score: soft only: a box whose decayed score falls below is dropped; the first pick of
            each call is never checked.
        split_threshold: soft only: with fewer candidates than this an image is one call,
            otherwise every class is a call of its own (mmcv's split_thr).
        iou_threshold: hard only: a box overlapping a better one by more is dropped.
        score_threshold: candidates must score more than this.
        max_per_image: max detections per image.
        offset_classes: as officially, overlaps are those of boxes moved apart by class, whose
            coordinates float32 then rounds to about a tenth of a pixel at 1,230 classes.
    """

    method: Literal["soft", "hard", "none"] = "soft"
    sigma: float = 0.5
    min_score: float = 1e-3
    split_threshold: int = 10_000
    iou_threshold: float = 0.5
    score_threshold: float = 1e-4
    max_per_image: int = 300
    offset_classes: bool = False


def pairwise_iou(boxes_xyxy: np.ndarray) -> np.ndarray:
    """(R, R) float32 IoU of (R, 4) boxes; a degenerate box has IoU 0 with everything."""
    boxes = boxes_xyxy.astype(np.float32)
    return broadcast_iou(boxes[:, None], boxes[None])


def decay_factors(boxes_xyxy: np.ndarray, suppression: Suppression) -> np.ndarray:
    """(R, R) float32: what a picked box (row) leaves of another box's score (column)."""
    if suppression.method == "none":
        return np.ones((len(boxes_xyxy), len(boxes_xyxy)), dtype=np.float32)
    return _factors(pairwise_iou(boxes_xyxy), suppression)


def _factors(ious: np.ndarray, suppression: Suppression) -> np.ndarray:
    if suppression.method == "soft":
        return np.exp(-(ious * ious) / np.float32(suppression.sigma))
    return (ious <= suppression.iou_threshold).astype(np.float32)


def suppressor(boxes_xyxy: np.ndarray, suppression: Suppression) -> Callable[[np.ndarray], Kept]:
    """`suppress` for the regions (R, 4) of one image: a function of their scores (R, C).

    With `offset_classes` the boxes' overlaps differ from class to class, otherwise they are
    computed once for all calls.
    """
    if suppression.offset_classes:
        return lambda scores_RC: _suppress_offset(boxes_xyxy, scores_RC, suppression)
    decay_RR = decay_factors(boxes_xyxy, suppression)
    return lambda scores_RC: suppress(scores_RC, decay_RR, suppression)


def _suppress_offset(
    boxes_xyxy: np.ndarray, scores_RC: np.ndarray, suppression: Suppression
) -> Kept:
    """Every class a step further away than the one before, as mmcv's batched_nms puts them."""
    boxes = boxes_xyxy.astype(np.float32)
    candidates = (scores_RC > np.float32(suppression.score_threshold)).any(axis=1)
    step = boxes[candidates].max(initial=0) + np.float32(1)

    def decay(classes: np.ndarray, regions: np.ndarray) -> np.ndarray:
        moved = boxes + (classes.astype(np.float32) * step)[:, None, None]
        picked = moved[np.arange(len(classes)), regions]
        return _factors(broadcast_iou(picked[:, None], moved), suppression)

    return _suppress(scores_RC, decay, suppression)


def suppress(scores_RC: np.ndarray, decay_RR: np.ndarray, suppression: Suppression) -> Kept:
    """The best detections of one image.

    Args:
        scores_RC: (R, C) float32 candidate scores; NaN is no candidate.
        decay_RR: from `decay_factors`.

    Returns:
        regions (K,) int64, classes (K,) int64 and decayed scores (K,) float32, best first (ties:
        lower class, then the earlier pick), K <= max_per_image.
    """
    return _suppress(scores_RC, lambda _, regions: decay_RR[regions], suppression)


def _suppress(scores_RC: np.ndarray, decay: Decay, suppression: Suppression) -> Kept:
    work = np.ascontiguousarray(scores_RC.T, dtype=np.float32)
    candidates = work > np.float32(suppression.score_threshold)
    work = np.where(candidates, work, np.float32(0))
    if suppression.method == "none":
        return _best(work, suppression.max_per_image)
    floor = np.float32(suppression.min_score if suppression.method == "soft" else 0)
    if work.size and np.count_nonzero(candidates) < suppression.split_threshold:
        first = np.unravel_index(np.argmax(work), work.shape)
        first_score = work[first]
        work[work < floor] = 0
        work[first] = first_score
    return _pick(work, decay, floor, suppression.max_per_image)


def _best(work_CR: np.ndarray, limit: int) -> Kept:
    flat = work_CR.ravel()
    order = np.flatnonzero(flat >= _nth_largest(flat, limit))
    order = order[flat[order] > 0]
    order = order[np.argsort(-flat[order], kind="stable")][:limit]
    classes, regions = np.divmod(order, max(work_CR.shape[1], 1))
    return regions, classes, flat[order]


def _pick(work_CR: np.ndarray, decay: Decay, floor: np.float32, limit: int) -> Kept:
    """The greedy loop; `work_CR` holds candidate scores, 0 for none, and is overwritten."""
    classes = np.arange(len(work_CR) if work_CR.size else 0)
    picked = [(classes[:0], classes[:0], np.zeros(0, dtype=np.float32))]
    bar = np.float32(0)
    best_so_far = np.zeros(0, dtype=np.float32)
    while len(classes):
        regions = work_CR.argmax(axis=1)
        scores = work_CR[np.arange(len(classes)), regions]
        alive = (scores > 0) & (scores >= bar)
        if len(best_so_far) + np.count_nonzero(alive) > limit:
            pool = np.concatenate((best_so_far, scores[alive]))
            bar = _nth_largest(pool, limit)
            alive &= scores >= bar
        if not alive.all():
            classes, regions, scores = classes[alive], regions[alive], scores[alive]
            work_CR = work_CR[alive]
        picked.append((regions, classes, scores))
        best_so_far = np.concatenate((best_so_far, scores))
        best_so_far = best_so_far[best_so_far >= bar]
        work_CR *= decay(classes, regions)
        work_CR[np.arange(len(classes)), regions] = 0
        work_CR[work_CR < floor] = 0
    regions, classes, scores = (np.concatenate(column) for column in zip(*picked, strict=True))
    order = np.lexsort((classes, -scores))[:limit]
    return regions[order], classes[order], scores[order]


def _nth_largest(values: np.ndarray, count: int) -> np.float32:
    """The `count`-th largest value, 0 where there are not so many."""
    if len(values) < count:
        return np.float32(0)
    return np.partition(values, len(values) - count)[len(values) - count]
