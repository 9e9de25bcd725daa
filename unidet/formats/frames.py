"""Checks the frame of a file's boxes: clearly not x, y, width, height in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.formats.columns import LARGEST
from unidet.formats.growing import blocks

_FEW = 4
"""So many boxes may look like corners by accident."""
_FIRST = 4096
"""So many boxes mostly show that neither is the case of all."""


def is_sound(boxes_xywh: np.ndarray) -> np.ndarray:
    """(M,) whether all four numbers are finite and smaller than `LARGEST`."""
    return (np.abs(boxes_xywh) < LARGEST).all(axis=1)


def check_frame(
    path: Path, what: str, boxes_xywh: np.ndarray, sizes: np.ndarray, image_rows: np.ndarray
) -> None:
    """UserError if the boxes of a file are fractions or corners.

    Args:
        what: the boxes are those of.
        boxes_xywh: (M, 4) float64.
        sizes: (N, 2) width and height of the images, 0 where unknown.
        image_rows: (M,) row of each box's image.
    """
    if _Frame.of(boxes_xywh[:_FIRST], sizes[image_rows[:_FIRST]]).is_right():
        return
    counts = [_Frame.of(boxes_xywh[b], sizes[image_rows[b]]) for b in blocks(boxes_xywh)]
    frame = _Frame(*map(sum, zip(*(vars(count).values() for count in counts), strict=True)))
    if not counts or not frame.boxes:
        return
    if frame.within_one == frame.boxes and frame.fractional:
        raise UserError(
            f"{path}: all {frame.boxes} boxes of its {what} lie in 0..1; a bbox is "
            "[x, y, width, height] in pixels: multiply by the image's sides"
        )
    if frame.boxes >= _FEW and frame.corners == frame.boxes and 4 * frame.beyond >= frame.boxes:
        raise UserError(
            f"{path}: {frame.beyond} of the {frame.boxes} boxes of its {what} reach "
            "over their image as [x, y, width, height], none as [x1, y1, x2, y2]: a bbox is the "
            "former; subtract x1, y1"
        )


@dataclass(frozen=True)
class _Frame:
    """How many boxes there are that are sound; of these within 0..1, and not of whole numbers;
    that may be corners within their image, of known size; that reach over it as x, y, width,
    height."""

    boxes: int = 0
    within_one: int = 0
    fractional: int = 0
    corners: int = 0
    beyond: int = 0

    @classmethod
    def of(cls, boxes_xywh: np.ndarray, sides: np.ndarray) -> _Frame:
        sound = is_sound(boxes_xywh)
        boxes, sides = boxes_xywh[sound], sides[sound]
        ordered = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & sides.all(axis=1)
        masks = (
            (np.abs(boxes) <= 1).all(axis=1),
            (boxes % 1 != 0).any(axis=1),
            ordered & (boxes[:, 2:] <= sides + 1).all(axis=1),
            (boxes[:, :2] + boxes[:, 2:] > sides + 1).any(axis=1),
        )
        return cls(len(boxes), *map(int, map(np.count_nonzero, masks)))

    def is_right(self) -> bool:
        """Whether some are neither within 0..1 nor corners, whatever the others are."""
        return self.within_one < self.boxes and self.corners < self.boxes
