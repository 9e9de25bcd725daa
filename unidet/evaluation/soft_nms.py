"""Non-maximum suppression of R regions under C classes, all classes at once or some after others.

Every class scores the same R boxes, so one (R, R) matrix of decay factors serves all of them,
and a step of the greedy loop runs for every class in parallel: also for those of S scorings, each
of which gets detections of its own. Within a class the scores of successive picks never rise;
hence a class whose next pick falls short of the best `limit` detections found so far is finished,
and only a few steps are needed.

Equal to mmcv's soft_nms and nms as batched_nms calls them class by class, but for two things:
boxes are not offset by class (which quantizes coordinates in float32 there; `offset_classes`
brings that back), and where scores of one class tie exactly the lower region index goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
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


def suppressor(
    boxes_xyxy: np.ndarray, suppression: Suppression
) -> Callable[[Iterable[np.ndarray]], list[Kept]]:
    """The best detections of the regions (R, 4) of one image under each of S scorings.

    Returns:
        A function of their scores float32, where NaN is no candidate: one array (S, R, C), or some
        classes after others in several. It gives S times regions (K,) int64, classes (K,) int64
        and decayed scores (K,) float32, best first (ties: lower class, then the earlier pick),
        K <= max_per_image. `offset_classes` needs all classes in one array.
    """
    suppress = _suppressor(boxes_xyxy, suppression)

    def best(blocks: Iterable[np.ndarray]) -> list[Kept]:
        shortlists: list[_Shortlist] = []
        for scores_SRC in blocks:
            shortlists = shortlists or [_Shortlist(suppression) for _ in scores_SRC]
            found = zip(shortlists, scores_SRC, suppress(scores_SRC), strict=True)
            for shortlist, scores_RC, kept in found:
                shortlist.add(scores_RC, kept)
        return [shortlist.kept() for shortlist in shortlists]

    return best


class _Shortlist:
    """What one scoring keeps of the classes so far.

    Classes do not touch one another, so that it does not matter how they are divided.
    """

    def __init__(self, suppression: Suppression) -> None:
        self._suppression = suppression
        self._parts: list[Kept] = []
        self._classes = self._candidates = 0

    def add(self, scores_RC: np.ndarray, kept: Kept) -> None:
        """The best of the next classes, whose scores were `scores_RC`."""
        rule = self._suppression
        self._candidates += np.count_nonzero(scores_RC > np.float32(rule.score_threshold))
        regions, classes, scores = kept
        self._parts.append((regions, classes + self._classes, scores))
        self._classes += scores_RC.shape[1]
        if len(self._parts) > 1:
            columns = zip(*self._parts, strict=True)
            regions, classes, scores = (np.concatenate(column) for column in columns)
            order = np.lexsort((classes, -scores))[: rule.max_per_image]
            self._parts = [(regions[order], classes[order], scores[order])]

    def kept(self) -> Kept:
        """The best of all classes that were added."""
        ((regions, classes, scores),) = self._parts
        rule = self._suppression
        if rule.method != "soft" or self._candidates >= rule.split_threshold:
            return regions, classes, scores
        stays = scores >= np.float32(rule.min_score)
        stays[:1] = True  # the first pick of the one call
        return regions[stays], classes[stays], scores[stays]


def _suppressor(
    boxes_xyxy: np.ndarray, suppression: Suppression
) -> Callable[[np.ndarray], list[Kept]]:
    """Every class as a call of its own, `split_threshold` or not."""
    if suppression.offset_classes:
        return lambda scores_SRC: [
            _suppress(
                scores_RC[None], _offset_decay(boxes_xyxy, scores_RC, suppression), suppression
            )[0]
            for scores_RC in scores_SRC
        ]
    decay_RR = decay_factors(boxes_xyxy, suppression)
    return lambda scores_SRC: _suppress(
        scores_SRC, lambda _, regions: decay_RR[regions], suppression
    )


def _offset_decay(boxes_xyxy: np.ndarray, scores_RC: np.ndarray, suppression: Suppression) -> Decay:
    """Every class a step further away than the one before, as mmcv's batched_nms puts them."""
    boxes = boxes_xyxy.astype(np.float32)
    candidates = (scores_RC > np.float32(suppression.score_threshold)).any(axis=1)
    step = boxes[candidates].max(initial=0) + np.float32(1)

    def decay(classes: np.ndarray, regions: np.ndarray) -> np.ndarray:
        moved = boxes + (classes.astype(np.float32) * step)[:, None, None]
        picked = moved[np.arange(len(classes)), regions]
        return _factors(broadcast_iou(picked[:, None], moved), suppression)

    return decay


def _suppress(scores_SRC: np.ndarray, decay: Decay, suppression: Suppression) -> list[Kept]:
    work = np.ascontiguousarray(scores_SRC.transpose(0, 2, 1), dtype=np.float32)
    work = np.where(work > np.float32(suppression.score_threshold), work, np.float32(0))
    if suppression.method == "none":
        return [_best(work_CR, suppression.max_per_image) for work_CR in work]
    floor = np.float32(suppression.min_score if suppression.method == "soft" else 0)
    return _pick(work, decay, floor, suppression.max_per_image)


def _best(work_CR: np.ndarray, limit: int) -> Kept:
    flat = work_CR.ravel()
    order = np.flatnonzero(flat >= _nth_largest(flat, limit))
    order = order[flat[order] > 0]
    order = order[np.argsort(-flat[order], kind="stable")][:limit]
    classes, regions = np.divmod(order, max(work_CR.shape[1], 1))
    return regions, classes, flat[order]


def _pick(work_SCR: np.ndarray, decay: Decay, floor: np.float32, limit: int) -> list[Kept]:
    """The greedy loop; `work_SCR` holds candidate scores, 0 for none, and is overwritten.

    A first pick is never below `floor` for the loop; one of a later step ends its class there.
    """
    sets, classes_each, regions_each = work_SCR.shape
    rows = np.arange(sets * classes_each if work_SCR.size else 0)
    work = work_SCR.reshape(sets * classes_each, regions_each)
    best = _BestScores(sets, limit, classes_each * regions_each)
    picked = [(rows[:0], rows[:0], np.zeros(0, dtype=np.float32))]
    least = np.float32(0)
    while len(rows):
        regions = work.argmax(axis=1)
        scores = work[np.arange(len(rows)), regions]
        alive = (scores > 0) & (scores >= least)
        alive &= scores >= best.bar_with(rows // classes_each, np.where(alive, scores, 0))
        if not alive.all():
            rows, regions, scores = rows[alive], regions[alive], scores[alive]
            work = work[alive]
        picked.append((regions, rows, scores))
        work *= decay(rows % classes_each, regions)
        work[np.arange(len(rows)), regions] = 0
        least = floor
    regions, rows, scores = (np.concatenate(column) for column in zip(*picked, strict=True))
    sets_of, classes = np.divmod(rows, max(classes_each, 1))
    order = np.lexsort((classes, -scores, sets_of))
    ends = np.searchsorted(sets_of[order], np.arange(sets + 1))
    kept = (order[first:last][:limit] for first, last in pairwise(ends))
    return [(regions[some], classes[some], scores[some]) for some in kept]


class _BestScores:
    """The `limit` best scores of each set so far: what a pick must reach to be among them."""

    def __init__(self, sets: int, limit: int, candidates: int) -> None:
        self._matters = limit < candidates
        self._best = np.zeros((sets, limit if self._matters else 0), np.float32)

    def bar_with(self, sets: np.ndarray, scores: np.ndarray) -> np.ndarray | np.float32:
        """(K,) the bar of each of K new picks, among which they are; 0 is no pick.

        Args:
            sets: (K,) non-decreasing.
        """
        if not self._matters:
            return np.float32(0)
        counts = np.bincount(sets, minlength=len(self._best))
        places = np.arange(len(sets)) - np.repeat(np.cumsum(counts) - counts, counts)
        joined = np.zeros((len(self._best), self._best.shape[1] + counts.max()), np.float32)
        joined[:, : self._best.shape[1]] = self._best
        joined[sets, self._best.shape[1] + places] = scores
        surplus = joined.shape[1] - self._best.shape[1]
        joined.partition(surplus, axis=1)
        self._best = joined[:, surplus:]
        return self._best[:, 0][sets]


def _nth_largest(values: np.ndarray, count: int) -> np.float32:
    """The `count`-th largest value, 0 where there are not so many."""
    if len(values) < count:
        return np.float32(0)
    return np.partition(values, len(values) - count)[len(values) - count]
