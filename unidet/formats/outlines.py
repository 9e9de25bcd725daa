"""Boxes around outlines and masks, as COCO writes them under `segmentation`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeGuard

import numpy as np

_LARGEST_MASK = 2**40
"""Pixels; sums of runs within it are exact."""


def box_around(segmentation: Any) -> list[float] | None:
    """x, y, width, height in pixels around polygons or a mask; None where it is neither, or empty.

    Polygons are [[x, y, x, y, …], …], or one without the outer list (RectLabel); masks {"size":
    [height, width], "counts": …}, run lengths down the columns as numbers or as pycocotools'
    text, whose box is that of its `toBbox`.
    """
    if type(segmentation) is dict:
        return _around_mask(segmentation.get("size"), segmentation.get("counts"))
    if type(segmentation) is not list or not segmentation:
        return None
    polygons = segmentation if type(segmentation[0]) is list else [segmentation]
    if any(type(polygon) is not list or len(polygon) % 2 for polygon in polygons):
        return None
    values = [value for polygon in polygons for value in polygon]
    if len(values) < 4 or not _are_finite(values):
        return None
    left, top = min(values[::2]), min(values[1::2])
    return [left, top, max(values[::2]) - left, max(values[1::2]) - top]


def is_elsewhere(box: Any, segmentation: Any) -> bool:
    """Whether a box x, y, width, height is hardly the one around its polygons: IoU below .5."""
    around = box_around(segmentation) if type(segmentation) is list else None
    if around is None or type(box) is not list or len(box) != 4 or not _are_finite(box):
        return False
    sizes = [own[2] * own[3] for own in (box, around)]
    shared = 1.0
    for side in (0, 1):
        ends = (own[side] + own[side + 2] for own in (box, around))
        shared *= max(min(ends) - max(box[side], around[side]), 0.0)
    return min(sizes) > 0 and 3 * shared < sum(sizes)


def _are_finite(values: list[Any]) -> bool:
    if {*map(type, values)} - {int, float}:
        return False
    try:
        return math.isfinite(math.fsum(values))
    except (OverflowError, ValueError):  # beyond a float64; infinities of both signs
        return False


def _around_mask(size: Any, counts: Any) -> list[float] | None:
    """pycocotools' `rleToBbox` (maskApi.c): the runs are of background first."""
    runs = _decoded(counts) if type(counts) is str else counts
    if not (_are_counts(size) and len(size) == 2 and _are_counts(runs)):
        return None
    height, width = size
    if sum(runs) != height * width or height * width > _LARGEST_MASK:
        return None
    ends = np.cumsum(runs, dtype=np.int64)[1::2]
    lengths = np.array(runs[1::2], np.int64)
    first, last = (ends - lengths)[lengths > 0], (ends - 1)[lengths > 0]
    if not len(first):
        return None
    left, right = int(first.min()) // height, int(last.max()) // height
    top, bottom = int((first % height).min()), int((last % height).max())
    if (first // height < last // height).any():  # a run that goes on in the next column
        top, bottom = 0, height - 1
    return [left, top, right - left + 1, bottom - top + 1]


def _are_counts(values: Any) -> TypeGuard[list[int]]:
    return type(values) is list and all(type(v) is int and v >= 0 for v in values)


def _decoded(text: str) -> list[int] | None:
    """pycocotools' `rleFrString`: five bits a character, from the third run on differences."""
    runs: list[int] = []
    for value in _varying(text):
        if value is None:
            return None
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs


def _varying(text: str) -> Iterable[int | None]:
    """The numbers of such a text; None where it is none."""
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            yield None
            return
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            yield value - (1 << shift) if bits & 16 else value
            value = shift = 0
    if shift:
        yield None
