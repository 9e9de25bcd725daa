"""Plain numpy records that the parts of unidet hand to one another.

Frames: `boxes_xyxy` are absolute pixels, continuous coordinates, x2 and y2 at the far edge (no +1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from unidet.errors import UserError

FREQUENCIES = ("r", "c", "f")
"""Of an LVIS category: rare, common, frequent."""

UNDEFINED = -1.0
"""A metric over annotations of which there are none, as the official evaluators say it."""

_CELLS = 16
"""A table of ids has at most so many cells for each of them; searching takes ten times as long."""


@dataclass(frozen=True)
class Category:
    """One name of a label space.

    `frequency` is LVIS's r, c or f, `synonyms` its other names for it. `is_novel` is what an
    annotation file says of itself, None where it does not.
    """

    id: int
    name: str
    frequency: str | None = None
    image_count: int = 0
    instance_count: int = 0
    is_novel: bool | None = None
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """Columnar index of one dataset split with N images and M boxes.

    Attributes:
        name: the split's name in the configuration.
        image_ids: (N,) int64, the dataset's own ids.
        file_names: N paths relative to the images folder; empty strings where images are packed.
        widths, heights: (N,) int32, original pixels.
        box_image: (M,) int32, row into the images, non-decreasing.
        boxes_xyxy: (M, 4) float32, original pixels.
        labels: (M,) int32, position in `categories`.
        is_crowd: (M,) bool.
        categories: sorted by id.
    """

    name: str
    image_ids: np.ndarray
    file_names: tuple[str, ...]
    widths: np.ndarray
    heights: np.ndarray
    box_image: np.ndarray
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    is_crowd: np.ndarray
    categories: tuple[Category, ...]

    def __len__(self) -> int:
        return len(self.image_ids)

    def boxes_of(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (K, 4), labels (K,) and crowd flags (K,) of the image at `row`."""
        ends = np.array((row, row + 1), self.box_image.dtype)  # of another type all were converted
        first, last = np.searchsorted(self.box_image, ends)
        return self.boxes_xyxy[first:last], self.labels[first:last], self.is_crowd[first:last]


@dataclass
class Batch:
    """N images as a network takes them, with their targets in the same frame.

    Attributes:
        images_NCHW: float32, normalized, zero-padded at the right and bottom to one common size.
        sizes_N2: int32 (height, width) after resizing, before padding.
        scales_N4: float32 (sx, sy, sx, sy); resized = original * scale, plus a shift where
            augmentation placed the image.
        flips_N2: bool (horizontal, vertical).
        boxes: per image (M_i, 4) float32 xyxy in the resized and flipped frame, crowds left out.
        labels: per image (M_i,) int32.
        dataset_ids: (N,) int32, which training dataset (label space) an image comes from.
        image_rows: (N,) int32, row of the image in its split.
        proposals: per image (P_i, 5) float32 xyxy + score in the same frame, or None.
        epoch: which pass over the training images this is, from 0.
    """

    images_NCHW: np.ndarray
    sizes_N2: np.ndarray
    scales_N4: np.ndarray
    flips_N2: np.ndarray
    boxes: list[np.ndarray]
    labels: list[np.ndarray]
    dataset_ids: np.ndarray
    image_rows: np.ndarray
    proposals: list[np.ndarray] | None = None
    epoch: int = 0

    def parts(self, count: int) -> list[Batch]:
        """`count` batches of equally many images, in order, with the padding of this one.

        Raises:
            ValueError: the images do not divide evenly.
        """
        size = part_size(len(self.sizes_N2), count)
        columns = {item.name: getattr(self, item.name) for item in fields(self)}
        del columns["epoch"]
        columns = {name: rows for name, rows in columns.items() if rows is not None}
        return [
            replace(self, **{name: rows[first : first + size] for name, rows in columns.items()})
            for first in range(0, size * count, size)
        ]


def part_size(images: int, parts: int) -> int:
    """Images of each of equally large parts; ValueError where they do not divide evenly."""
    size, rest = divmod(images, parts)
    if rest:
        raise ValueError(f"{images} images do not make {parts} equal parts")
    return size


@dataclass(frozen=True)
class Detected:
    """What a closed-set detector finds in one image, best first.

    Attributes:
        boxes: (D, 4) float32 xyxy, frame as in `Batch`.
        scores: (D,) float32.
        labels: (D,) int64, the network's classes.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class GroundTruth:
    """N images, C categories and G annotated boxes, as the official evaluators see them.

    Attributes:
        source: what messages call it, the file's path.
        image_ids: (N,) int64, ascending.
        category_ids: (C,) int64, ascending; `category_names` in the same order.
        frequencies: C of "r", "c", "f" (LVIS), or None where the file does not say.
        novel: (C,) bool, or None where unknown.
        annotation_ids: (G,) int64 in the file's order, like every annotation column.
        image_rows, category_rows: (G,) int64 rows into the images and categories.
        boxes_xywh: (G, 4) float64, absolute pixels.
        areas: (G,) float64, the file's own (in LVIS and COCO the mask's, not the box's).
        is_crowd, is_ignored: (G,) bool.
        negatives: (N, C) bool, categories verified absent from an image; None outside LVIS.
        not_exhaustive: (N, C) bool, categories not labelled completely; None outside LVIS.
        image_sizes: (N, 2) int32 width, height; 0 where the file does not say, None where unknown.
        notes: what a file says otherwise than it is read, or than others read it, one line each.
    """

    source: str
    image_ids: np.ndarray
    category_ids: np.ndarray
    category_names: tuple[str, ...]
    frequencies: tuple[str | None, ...]
    novel: np.ndarray | None
    annotation_ids: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    negatives: np.ndarray | None
    not_exhaustive: np.ndarray | None
    image_sizes: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def rows_of_images(self, image_ids: np.ndarray) -> np.ndarray:
        """(K,) int64 rows of known image ids; ValueError where one is unknown."""
        return _known_rows(self.image_ids, image_ids, "image")

    def rows_of_categories(self, category_ids: np.ndarray) -> np.ndarray:
        """(K,) int64 rows of known category ids; ValueError where one is unknown."""
        return _known_rows(self.category_ids, category_ids, "category")

    def of_images(self, image_ids: np.ndarray) -> GroundTruth:
        """The part of known images, in ascending order of their ids, with all categories.

        Raises:
            ValueError: an image is not known.
        """
        kept = np.zeros(len(self.image_ids), dtype=bool)
        kept[self.rows_of_images(image_ids)] = True
        boxes = kept[self.image_rows]
        new_rows = np.cumsum(kept) - 1
        by_image = ("image_ids", "negatives", "not_exhaustive", "image_sizes")
        by_box = ("annotation_ids", "category_rows", "boxes_xywh", "areas", "is_crowd")
        columns: dict[str, Any] = {name: _rows_of(getattr(self, name), kept) for name in by_image}
        columns |= {name: getattr(self, name)[boxes] for name in (*by_box, "is_ignored")}
        return replace(self, **columns, image_rows=new_rows[self.image_rows[boxes]])

    def novelty(
        self, by_category: Mapping[str, bool] | Mapping[int, bool] | None
    ) -> np.ndarray | None:
        """(C,) bool from a mapping of category name or id to "is novel", or the file's own.

        Raises:
            UserError: the mapping misses a category.
        """
        if by_category is None:
            return self.novel
        values = dict[Any, bool](by_category)
        novel = np.zeros(len(self.category_ids), dtype=bool)
        for row, (number, name) in enumerate(
            zip(self.category_ids.tolist(), self.category_names, strict=True)
        ):
            if name not in values and number not in values:
                raise UserError(
                    f"{self.source}: novelty of category {number} ({name}) is not given"
                )
            novel[row] = values[name] if name in values else values[number]
        return novel


def _rows_of(column: np.ndarray | None, kept: np.ndarray) -> np.ndarray | None:
    return None if column is None else column[kept]


def _known_rows(known_ids: np.ndarray, ids: np.ndarray, what: str) -> np.ndarray:
    rows = rows_among(known_ids, ids)
    if len(rows) and rows.min() < 0:
        raise ValueError(f"{what} {ids[rows < 0][0]} is not in the ground truth")
    return rows


def rows_among(known: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """(K,) int64, the row of each id in `known` (N,), in which none stands twice; -1 for others."""
    if not len(known):
        return np.full(len(ids), -1)
    low, span = int(known.min()), int(known.max()) - int(known.min()) + 1
    if span <= _CELLS * (len(known) + len(ids)):
        table = np.full(span + 1, -1, np.int32)
        table[known - low] = np.arange(len(known))
        # what lies below is very large without its sign
        places = np.subtract(ids, low, dtype=np.int64).view(np.uint64)
        return table[np.minimum(places, np.uint64(span))].astype(np.int64)
    order = np.argsort(known)
    places = np.minimum(np.searchsorted(known[order], ids), len(known) - 1)
    return np.where(known[order[places]] == ids, order[places], -1)


@dataclass(frozen=True)
class Detections:
    """K detections in any order; where scores tie, the earlier one counts as the better.

    Attributes:
        image_ids, category_ids: (K,) int64, the dataset's own ids.
        boxes_xywh: (K, 4) float64, original pixels.
        scores: (K,) float32 from our own networks, float64 from a file.
    """

    image_ids: np.ndarray
    category_ids: np.ndarray
    boxes_xywh: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def concatenate(cls, parts: list[Detections]) -> Detections:
        """One after another; no parts give zero detections."""
        if not parts:
            ids = np.zeros(0, dtype=np.int64)
            return cls(ids, ids, np.zeros((0, 4)), np.zeros(0, dtype=np.float32))
        columns = zip(*(vars(part).values() for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    def take(self, rows: np.ndarray) -> Detections:
        """The detections at `rows` (indices or a mask), in that order."""
        return Detections(
            self.image_ids[rows], self.category_ids[rows], self.boxes_xywh[rows], self.scores[rows]
        )

    def top(self, count: int) -> Detections:
        """The `count` highest-scoring detections of every image, original order kept."""
        order = np.lexsort((-self.scores, self.image_ids))
        kept = order[rank_in_group(self.image_ids[order]) < count]
        return self.take(np.sort(kept))


def rank_in_group(groups: np.ndarray) -> np.ndarray:
    """(K,) int64: how many earlier elements of the sorted (K,) `groups` share the value."""
    if not len(groups):
        return np.zeros(0, dtype=np.int64)
    positions = np.arange(len(groups))
    is_first = np.concatenate(([True], groups[1:] != groups[:-1]))
    return positions - np.maximum.accumulate(np.where(is_first, positions, 0))
