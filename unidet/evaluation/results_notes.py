"""What the metrics of a results file do not show: detections that do not count, boxes that nothing
was detected for, ids of other categories."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unidet.evaluation.matching import find_pairs
from unidet.evaluation.protocols import uncounted
from unidet.records import Detections, GroundTruth

MOST_LOOKED_AT = 100_000
"""So many of the best detections tell of which categories a file speaks."""
_FEWEST = 10
_OTHERWISE = 3
"""So many categories are named as examples."""


def notes_of(truth: GroundTruth, detections: Detections, style: str) -> Iterator[str]:
    """Lines on the detections of known images, if `style` is not "proposals" of known categories.

    Args:
        style: "lvis", "coco" or "proposals".
    """
    if style != "proposals":
        count, best = uncounted(truth, detections, style)
        if count:
            yield f"{count} × detection beyond {best}: not counted, as officially"
    if style == "coco":
        yield from _without_truth(truth, detections)
    yield from _without_detections(truth, detections)


def _without_truth(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    """COCO AP is the mean over the categories that are annotated, and knows no others."""
    annotated = np.bincount(truth.category_rows[~truth.is_crowd], minlength=len(truth.category_ids))
    rows = truth.rows_of_categories(detections.category_ids)
    others = rows[annotated[rows] == 0]
    if len(others):
        first = truth.category_names[others[0]]
        yield (
            f"{len(others)} × detection of a category that has no box in the ground truth, first "
            f"{first!r}: not counted, as officially"
        )


def _without_detections(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    annotated = np.unique(truth.image_rows[~(truth.is_crowd | truth.is_ignored)])
    missed = np.setdiff1d(annotated, truth.rows_of_images(detections.image_ids))
    if len(missed):
        yield (
            f"{len(missed)} × image with boxes, of {len(annotated)}, that has no detection: its "
            f"boxes count as missed, first image {truth.image_ids[missed[0]]}; if the results are "
            "of a part of the images, name that by --images"
        )


def other_categories(truth: GroundTruth, detections: Detections) -> str:
    """A line where the detections lie on boxes but have other categories, each mostly one and the
    same, as with ids that count from 0 instead of 1; empty if they do not."""
    called, named = _called_and_named(truth, detections)
    right = int(np.count_nonzero(called == named))
    pairs, counts = np.unique(np.stack([called, named]), axis=1, return_counts=True)
    order = np.lexsort((-counts, pairs[0]))
    pairs, counts = pairs[:, order], counts[order]
    mostly = np.diff(pairs[0], prepend=-1) > 0
    pairs, counts = pairs[:, mostly], counts[mostly]
    if len(called) < _FEWEST or 10 * right > len(called) or 2 * counts.sum() < len(called):
        return ""
    frequent = np.argsort(-counts, kind="stable")[:_OTHERWISE]
    names = [[truth.category_names[row] for row in pair] for pair in pairs[:, frequent].T]
    examples = ", ".join(f"those called {ours!r} mostly on {theirs!r}" for ours, theirs in names)
    return (
        f"of {len(called)} detections that lie on a box (IoU .5) {right} have its category, "
        f"{examples}: are their category ids those of {truth.source}?"
    )


def _called_and_named(truth: GroundTruth, detections: Detections) -> tuple[np.ndarray, np.ndarray]:
    """Category rows of the best detections that lie on a box, and of the box."""
    best = np.argsort(-detections.scores, kind="stable")[:MOST_LOOKED_AT]
    kept = np.flatnonzero(~(truth.is_crowd | truth.is_ignored))
    boxes = kept[np.argsort(truth.image_rows[kept], kind="stable")]
    pairs = find_pairs(
        truth.rows_of_images(detections.image_ids[best]),
        detections.boxes_xywh[best].astype(np.float64),
        truth.image_rows[boxes],
        truth.boxes_xywh[boxes],
    )
    order = np.lexsort((-pairs.ious, pairs.detections))
    found = pairs.detections[order]
    nearest = np.diff(found, prepend=-1) > 0
    called = truth.rows_of_categories(detections.category_ids[best[found[nearest]]])
    return called, truth.category_rows[boxes[pairs.truths[order][nearest]]]
