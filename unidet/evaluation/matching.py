"""Greedy matching of detections to ground truth as pycocotools and lvis do it, vectorized.

The official loop walks the detections of an image from the best score down; each takes, among
the boxes still free whose IoU reaches the threshold, the one of highest IoU, and any counted box
before any ignored one. As all boxes prefer detections in the same order (by score), the outcome
is the unique stable matching, which deferred acceptance finds with every image, category and
detection at once: each detection asks for its favourite, a box keeps the best that asks, the
others move on to their next choice. A handful of rounds suffices. A crowd keeps all that ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from unidet.ops.numpy_boxes import paired_iou
from unidet.records import rows_among

PAIRS_PER_CHUNK = 1 << 18
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_THRESHOLDS = np.linspace(0.0, 1.0, 101)
AREA_RANGES: dict[str, tuple[float, float]] = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


@dataclass(frozen=True)
class Pairs:
    """P pairs of overlapping detection and ground-truth box, sorted by detection.

    Attributes:
        detections, truths: (P,) int64 indices.
        ious: (P,) float64.
    """

    detections: np.ndarray
    truths: np.ndarray
    ious: np.ndarray

    def by_meeting(self) -> tuple[np.ndarray, Pairs]:
        """(K,) int64, the detections that are in a pair, and the pairs with these numbered anew."""
        is_first = np.diff(self.detections, prepend=-1) > 0
        rows = self.detections[is_first]
        return rows, replace(self, detections=np.cumsum(is_first) - 1)

    def by_preference(self, ignored: np.ndarray) -> np.ndarray:
        """(P,) int64, the order that has each detection's favourite first; `ignored`: (G,) bool.

        Where IoUs tie the official loop keeps the last box.
        """
        order = np.arange(len(self.detections))
        repeats = self.detections[1:] == self.detections[:-1]
        several = np.flatnonzero(np.append(repeats, False) | np.append(False, repeats))
        truths = self.truths[several]
        keys = (-truths, -self.ious[several], ignored[truths], self.detections[several])
        order[several] = several[np.lexsort(keys)]
        return order


def outside(areas: np.ndarray, area_range: tuple[float, float]) -> np.ndarray:
    """Which areas (pixels squared) lie outside the range; its ends belong to it."""
    return (areas < area_range[0]) | (areas > area_range[1])


def find_pairs(
    detection_groups: np.ndarray,
    detection_boxes_xywh: np.ndarray,
    truth_groups: np.ndarray,
    truth_boxes_xywh: np.ndarray,
    truth_is_crowd: np.ndarray | None = None,
) -> Pairs:
    """Pairs of equal group (an image, or image and category) with IoU of at least .5.

    IoU is that of pycocotools' bbIou: boxes without +1.

    Args:
        detection_groups: (D,) integers in any order; truth_groups: (G,) integers from 0, ascending.
        detection_boxes_xywh: (D, 4) float64; truth_boxes_xywh: (G, 4) float64.
        truth_is_crowd: (G,) bool; with a crowd IoU is the share of the detection inside it.
    """
    starts = np.flatnonzero(np.diff(truth_groups, prepend=-1))
    sizes = np.diff(starts, append=len(truth_groups))
    rows = rows_among(truth_groups[starts], detection_groups)
    # behind the last group there is one of no boxes
    first, count = np.append(starts, 0)[rows], np.append(sizes, 0)[rows]
    ends = np.cumsum(count)
    detection_columns, truth_columns = detection_boxes_xywh.T.copy(), truth_boxes_xywh.T.copy()
    chunks, start = [], 0
    while start < len(count):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + PAIRS_PER_CHUNK, side="right")), start + 1)
        repeats = count[start:stop]
        detections = np.repeat(np.arange(start, stop), repeats)
        offsets = np.arange(len(detections)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
        truths = first[detections] + offsets
        crowds = None if truth_is_crowd is None else truth_is_crowd[truths]
        ious = paired_iou(detection_columns[:, detections], truth_columns[:, truths], crowds)
        kept = ious >= IOU_THRESHOLDS[0]
        chunks.append((detections[kept], truths[kept], ious[kept]))
        start = stop
    if not chunks:
        return Pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    return Pairs(*(np.concatenate(column) for column in zip(*chunks, strict=True)))


@dataclass(frozen=True)
class Matches:
    """What one threshold and one area range make of D detections.

    Attributes:
        threshold, area: positions in IOU_THRESHOLDS and AREA_RANGES.
        truths: (D,) int64, the ground-truth box each detection takes, -1 for none.
    """

    threshold: int
    area: int
    truths: np.ndarray


def match(
    pairs: Pairs, count: int, truth_ignored: np.ndarray, truth_is_crowd: np.ndarray | None = None
) -> Iterator[Matches]:
    """Matches for every area range and IoU threshold, in that order.

    Args:
        pairs: from `find_pairs`; within a group a smaller detection index means a better score.
        count: number of detections D.
        truth_ignored: (A, G) bool, boxes that do not count, for each of A area ranges.
        truth_is_crowd: (G,) bool, boxes that any number of detections may take.
    """
    if truth_is_crowd is None:
        truth_is_crowd = np.zeros(truth_ignored.shape[1], dtype=bool)
    for area, ignored in enumerate(truth_ignored):
        order = pairs.by_preference(ignored)
        detections, truths = pairs.detections[order], pairs.truths[order]
        ious = pairs.ious[order]
        for threshold, value in enumerate(IOU_THRESHOLDS):
            reached = ious >= min(value, 1 - 1e-10)
            taken = np.full(count, -1, dtype=np.int64)
            _deferred_acceptance(detections[reached], truths[reached], truth_is_crowd, taken)
            yield Matches(threshold, area, taken)


def _deferred_acceptance(
    detections: np.ndarray, truths: np.ndarray, truth_is_crowd: np.ndarray, taken: np.ndarray
) -> None:
    """Fills `taken` (D,) from pairs sorted by detection and preference."""
    if not len(detections):
        return
    is_first = np.concatenate(([True], detections[1:] != detections[:-1]))
    has_next = np.concatenate((~is_first[1:], [False]))
    holder = np.empty(len(truth_is_crowd), dtype=np.int64)
    asking = np.flatnonzero(is_first)
    while True:
        who, whom = detections[asking], truths[asking]
        # the asking stay sorted, and the last write to an index stands: the best detection
        holder[whom[::-1]] = who[::-1]
        lost = (holder[whom] != who) & ~truth_is_crowd[whom]
        if not lost.any():
            taken[who] = whom
            return
        asking = (asking + lost)[~lost | has_next[asking]]
