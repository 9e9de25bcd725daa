"""Statistics of a dataset: sizes, counts by name, and names shared by two label spaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unidet.data.novelty import plain_names
from unidet.records import Category, Split

AREAS = (32.0**2, 96.0**2)
"""COCO's bounds between small, medium and large boxes, in square pixels."""


@dataclass(frozen=True)
class Statistics:
    """Of one set.

    Attributes:
        images, boxes, crowds: how many; boxes include crowds.
        sides: smallest, median and largest (width, height) by area, pixels.
        boxes_an_image: mean and most.
        by_size: boxes that are small, medium, large.
        by_name: boxes and images of every name, the most frequent first.
    """

    images: int
    boxes: int
    crowds: int
    sides: tuple[tuple[int, int], ...]
    boxes_an_image: tuple[float, int]
    by_size: tuple[int, int, int]
    by_name: dict[str, tuple[int, int]]


def statistics_of(split: Split) -> Statistics:
    """Counts of a split with at least one image."""
    order = np.argsort(split.widths.astype(np.int64) * split.heights)
    sides = tuple(
        (int(split.widths[row]), int(split.heights[row])) for row in order[[0, len(order) // 2, -1]]
    )
    counts = np.bincount(split.box_image, minlength=len(split))
    size = np.searchsorted(AREAS, areas(split), side="right")
    small, medium, large = np.bincount(size, minlength=3).tolist()
    names = sorted(split.categories, key=lambda entry: (-entry.instance_count, entry.name))
    return Statistics(
        images=len(split),
        boxes=len(split.labels),
        crowds=int(split.is_crowd.sum()),
        sides=sides,
        boxes_an_image=(float(counts.mean()), int(counts.max())),
        by_size=(small, medium, large),
        by_name={entry.name: (entry.instance_count, entry.image_count) for entry in names},
    )


def areas(split: Split) -> np.ndarray:
    """(M,) float32 square pixels of the boxes."""
    sides = split.boxes_xyxy[:, 2:] - split.boxes_xyxy[:, :2]
    return sides.prod(axis=1)


def shared_names(some: Sequence[Category], others: Sequence[Category]) -> list[str]:
    """The names of `some` that `others` have too, compared as novelty compares them."""
    known = {plain for entry in others for plain in plain_names(entry.name)}
    return [entry.name for entry in some if not known.isdisjoint(plain_names(entry.name))]
