"""What the metrics of a results file do not show: detections that do not count or were cut off,
boxes that nothing was detected for, scores that rank nothing, ids of other categories or images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unidet.evaluation.matching import Pairs, find_pairs
from unidet.evaluation.odd_results import oddities
from unidet.evaluation.protocols import uncounted
from unidet.records import Detections, GroundTruth

MOST_LOOKED_AT = 100_000
"""So many of the best detections are compared with all boxes of their images."""
_FEWEST = 10
"""So many detections, or boxes, tell something."""
_CUT = 0.1
"""Detectors are evaluated with all scores, or, as officially, with those above 0.05."""
_EXAMPLES = 3


def notes_of(truth: GroundTruth, detections: Detections, style: str) -> Iterator[str]:
    """Lines on the detections of known images, if `style` is not "proposals" of known categories.

    Args:
        style: "lvis", "coco" or "proposals".
    """
    yield from oddities(truth, detections, style)
    yield from _ties(detections, style)
    if style != "proposals":
        yield from _cut_off(detections.scores)
        count, best = uncounted(truth, detections, style)
        if count:
            yield f"{count} × detection beyond {best}: not counted, as officially"
    if style == "coco":
        yield from _without_truth(truth, detections)
    yield from _without_detections(truth, detections)
    if style != "proposals":
        yield from _never_detected(truth, detections)


def _cut_off(scores: np.ndarray) -> Iterator[str]:
    """AP is the area below all of the curve, whose end needs the detections of low scores."""
    least = float(scores.min(initial=np.inf))
    if len(scores) >= _FEWEST and least >= _CUT and scores.max() <= 1:
        yield (
            f"no detection scores below {least:.2g}: if a threshold has cut them off, the metrics "
            "are lower than official ones, which need them (detect: --threshold 0)"
        )


def _ties(detections: Detections, style: str) -> Iterator[str]:
    """Official packages sort stably, so metrics depend on the order of equal scores in the file:
    AP within a category, recall of proposals within an image."""
    ranked = detections.image_ids if style == "proposals" else detections.category_ids
    order = np.lexsort((detections.scores, ranked))
    ranked, scores = ranked[order], detections.scores[order]
    same = (ranked[1:] == ranked[:-1]) & (scores[1:] == scores[:-1])
    tied = int(np.count_nonzero(np.append(same, False) | np.append(False, same)))
    if len(scores) >= _FEWEST and 2 * tied > len(scores) and len(np.unique(scores)) > 1:
        yield (
            f"{tied} of {len(scores)} detections have the score of another that they are ranked "
            "with: their order in the file decides, as officially, and in another order metrics "
            "differ; write scores with more digits"
        )


def _never_detected(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    """AP is the mean over all categories with boxes, whether the detector knows them or not."""
    annotated = np.unique(truth.category_rows[~(truth.is_crowd | truth.is_ignored)])
    absent = np.setdiff1d(annotated, truth.rows_of_categories(detections.category_ids))
    if len(absent):
        yield (
            f"{len(absent)} × category with boxes, of {len(annotated)}, that has no detection: its "
            f"AP is 0, which AP averages over, first {truth.category_names[absent[0]]!r}"
        )


def _without_truth(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    """COCO AP is the mean over the categories that are annotated, and knows no others."""
    count = len(truth.category_ids)
    boxes = np.bincount(truth.category_rows, minlength=count)
    objects = np.bincount(truth.category_rows[~truth.is_crowd], minlength=count)
    rows = truth.rows_of_categories(detections.category_ids)
    for others, has, advice in (
        (rows[boxes[rows] == 0], "no box", ""),
        (
            rows[(boxes[rows] > 0) & (objects[rows] == 0)],
            "only crowds ('iscrowd')",
            "; write 0 where each is one object",
        ),
    ):
        if len(others):
            first = truth.category_names[others[0]]
            yield (
                f"{len(others)} × detection of a category that has {has} in the ground truth, "
                f"first {first!r}: not counted, as officially{advice}"
            )


def _without_detections(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    annotated = np.unique(truth.image_rows[~(truth.is_crowd | truth.is_ignored)])
    spoken_of = np.zeros(len(truth.image_ids), bool)
    spoken_of[truth.rows_of_images(detections.image_ids)] = True
    missed = annotated[~spoken_of[annotated]]
    if len(missed):
        yield (
            f"{len(missed)} × image with boxes, of {len(annotated)}, that has no detection: its "
            f"boxes count as missed, first image {truth.image_ids[missed[0]]}; if the results are "
            "of a part of the images, name that by --images"
        )


def doubt(truth: GroundTruth, detections: Detections, style: str) -> str:
    """A line on detections that seem to be meant otherwise than they are read; empty if none do.

    They lie on boxes, but have other categories, each mostly one and the same, as with ids that
    count from 0 instead of 1; or they lie on hardly any box, as with ids of other images.
    """
    best = np.argsort(-detections.scores, kind="stable")[:MOST_LOOKED_AT]
    looked_at = detections.take(best)
    images = truth.rows_of_images(looked_at.image_ids)
    counted = np.flatnonzero(~(truth.is_crowd | truth.is_ignored))
    boxes = counted[np.argsort(truth.image_rows[counted], kind="stable")]
    pairs = _pairs(truth, boxes, looked_at, images)
    others = "" if style == "proposals" else _other_categories(truth, boxes, looked_at, pairs)
    return others or _elsewhere(truth, boxes, looked_at, images, pairs)


def _pairs(truth: GroundTruth, boxes: np.ndarray, found: Detections, images: np.ndarray) -> Pairs:
    """Detections in images at these rows, and boxes at these of the truth, of whatever category."""
    xywh = found.boxes_xywh.astype(np.float64)
    return find_pairs(images, xywh, truth.image_rows[boxes], truth.boxes_xywh[boxes])


def _other_categories(
    truth: GroundTruth, boxes: np.ndarray, found: Detections, pairs: Pairs
) -> str:
    order = np.lexsort((-pairs.ious, pairs.detections))
    nearest = order[np.diff(pairs.detections[order], prepend=-1) > 0]
    called = truth.rows_of_categories(found.category_ids[pairs.detections[nearest]])
    named = truth.category_rows[boxes[pairs.truths[nearest]]]
    right = int(np.count_nonzero(called == named))
    kinds, counts = np.unique(np.stack([called, named]), axis=1, return_counts=True)
    order = np.lexsort((-counts, kinds[0]))
    mostly = order[np.diff(kinds[0, order], prepend=-1) > 0]
    kinds, counts = kinds[:, mostly], counts[mostly]
    if len(called) < _FEWEST or 10 * right > len(called) or 2 * counts.sum() < len(called):
        return ""
    frequent = np.argsort(-counts * (kinds[0] != kinds[1]), kind="stable")[:_EXAMPLES]
    frequent = frequent[kinds[0, frequent] != kinds[1, frequent]]
    names = [[truth.category_names[row] for row in kind] for kind in kinds[:, frequent].T]
    examples = ", ".join(f"those called {ours!r} mostly on {theirs!r}" for ours, theirs in names)
    return (
        f"of {len(called)} detections that lie on a box (IoU .5) {right} have its category, "
        f"{examples}: are their category ids those of {truth.source}?"
    )


def _elsewhere(
    truth: GroundTruth, boxes: np.ndarray, found: Detections, images: np.ndarray, pairs: Pairs
) -> str:
    among = int(np.count_nonzero(np.isin(truth.image_rows[boxes], images)))
    hit = len(np.unique(pairs.truths))
    possible = min(among, len(found))
    if possible < _FEWEST or 10 * hit > possible:
        return ""
    start = f"{hit} of {among} boxes in images with detections are hit (IoU .5)"
    for step, where in ((1, "next"), (-1, "previous")):
        others = len(np.unique(_pairs(truth, boxes, found, images + step).truths))
        if 2 * others > possible:
            return (
                f"{start}, but {others} would be if each detection were of the {where} image: are "
                f"their image ids those of {truth.source}?"
            )
    return (
        f"{start}, by whatever category: are image ids those of {truth.source}, and boxes x, y, "
        "width, height in pixels of the whole image?"
    )
