"""Results that cannot be right, or tell nothing, whatever their metrics: a line each, with the
likely cause."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unidet.records import Detections, GroundTruth

_FEWEST = 10
"""So many detections tell something."""


def oddities(truth: GroundTruth, detections: Detections, style: str) -> Iterator[str]:
    """Lines on the detections of known images, in categories that are known unless `style` is
    "proposals", which tells no classes apart."""
    count = len(detections)
    if not count:
        yield (
            f"not one detection in {len(truth.image_ids)} images, so every metric is 0: a "
            "threshold that nothing reaches, or a network that has learned nothing"
        )
        return
    yield from _of_scores(detections.scores)
    if count < _FEWEST:
        return
    yield from _of_boxes(truth, detections)
    if style != "proposals":
        yield from _of_categories(truth, detections)


def _of_scores(scores: np.ndarray) -> Iterator[str]:
    least, most = float(scores.min()), float(scores.max())
    if len(scores) > 1 and least == most:
        yield (
            f"all {len(scores)} detections have the same score: what ranks them is their order "
            "in the file, and metrics depend on it"
        )
    if least < 0 or most > 1:
        cause = "percent" if least >= 0 and most <= 100 else "logits, or distances"
        yield (
            f"scores are from {least:.4g} to {most:.4g}, no probabilities ({cause}?): metrics "
            "rank by them, higher is better; calibration error, which compares them with how many "
            "are right, means nothing"
        )


def _of_boxes(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    boxes = detections.boxes_xywh.astype(np.float64)
    count = len(boxes)
    if (boxes == boxes[0]).all():
        x, y, width, height = boxes[0].tolist()
        yield (
            f"all {count} detections have one box, [{x:g}, {y:g}, {width:g}, {height:g}]: was the "
            "same output written for every image?"
        )
    elif not boxes[:, 2:].prod(axis=1).any():
        yield f"all {count} boxes have no area: are they [x, y, width, height]?"
    elif _are_annotated(truth, detections):
        yield (
            f"all {count} detections have exactly the box of an annotation: are they results, or "
            "the annotations themselves?"
        )


def _are_annotated(truth: GroundTruth, detections: Detections) -> bool:
    """Whether every box is, to the last digit, one that is annotated in its image."""
    some = np.unique(np.linspace(0, len(detections) - 1, _FEWEST).astype(np.int64))
    return all(_among_annotated(truth, part) for part in (detections.take(some), detections))


def _among_annotated(truth: GroundTruth, detections: Detections) -> bool:
    rows = truth.rows_of_images(detections.image_ids)
    theirs = np.column_stack([rows, detections.boxes_xywh.astype(np.float64)])
    places = np.flatnonzero(np.isin(truth.image_rows, rows))
    annotated = np.column_stack([truth.image_rows[places], truth.boxes_xywh[places]])
    known = set(map(bytes, np.ascontiguousarray(annotated, np.float64)))
    return all(bytes(row) in known for row in np.ascontiguousarray(theirs, np.float64))


def _of_categories(truth: GroundTruth, detections: Detections) -> Iterator[str]:
    annotated = len(np.unique(truth.category_rows))
    only = np.unique(detections.category_ids)
    if len(only) == 1 < annotated:
        name = truth.category_names[int(truth.rows_of_categories(only)[0])]
        yield (
            f"all {len(detections)} detections are of one category, {name!r}, of {annotated} that "
            "are annotated: is category_id the detector's own class?"
        )
