"""Plain numpy records that the parts of unidet hand to one another.

Frames: `boxes_xyxy` are absolute pixels, continuous coordinates, x2 and y2 at the far edge (no +1).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class Category:
    """One name of a label space.

    `frequency` is LVIS's r, c or f.
    """

    id: int
    name: str
    frequency: str | None = None
    image_count: int = 0
    instance_count: int = 0
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
        first, last = np.searchsorted(self.box_image, (row, row + 1))
        return self.boxes_xyxy[first:last], self.labels[first:last], self.is_crowd[first:last]


@dataclass
class Batch:
    """N images as a network takes them, with their targets in the same frame.

    Attributes:
        images_NCHW: float32, normalised, zero-padded at the right and bottom to one common size.
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
