"""Options of detection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from unidet.errors import UserError, suggestion
from unidet.ops.numpy_boxes import broadcast_iou

SAME_OBJECT = 0.6
"""IoU from which on two detections of any names are of one object."""
_LARGEST_GAMMA = 2.0


@dataclass(frozen=True)
class Options:
    """Which detections of an image are returned.

    Attributes:
        threshold: minimum score, 0 to 1.
        top_k: maximum number per image.
        gamma: strength of probability calibration, 0 (none) to 2. Its prior is the number of
            detections of each category in the images so far, this one included.
        multi_label: an object may have several names; otherwise the best one (NMS over names).
    """

    threshold: float = 0.3
    top_k: int = 100
    gamma: float = 0.0
    multi_label: bool = False

    def __post_init__(self) -> None:
        """UserError where a value is out of its range."""
        _check_range("threshold", self.threshold, 1.0)
        _check_range("gamma", self.gamma, _LARGEST_GAMMA)
        if isinstance(self.top_k, bool) or not isinstance(self.top_k, int) or self.top_k < 1:
            raise UserError(f"top_k: must be a whole number of at least 1, got {self.top_k!r}")
        if not isinstance(self.multi_label, bool):
            raise UserError(f"multi_label: must be True or False, got {self.multi_label!r}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """From keywords; UserError for an unknown one."""
        known = [item.name for item in fields(cls)]
        for name in values:
            if name not in known:
                raise UserError(
                    f"{name}: is not an option of detect; {suggestion(name, known)}there are "
                    f"{', '.join(known)}"
                )
        return cls(**values)

    def choose(self, boxes_xyxy: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Rows to keep of boxes (N, 4) and labels (N,), which are sorted best first."""
        rows = np.flatnonzero(scores >= np.float32(self.threshold))
        if not self.multi_label:
            rows = rows[one_name_each(boxes_xyxy[rows], self.top_k)]
        return rows[: self.top_k]


def one_name_each(boxes_xyxy: np.ndarray, most: int) -> np.ndarray:
    """At most `most` rows of boxes (N, 4), best first, without those that overlap a better one."""
    kept: list[int] = []
    alive = np.ones(len(boxes_xyxy), bool)
    while alive.any() and len(kept) < most:
        best = int(alive.argmax())
        kept.append(best)
        alive &= broadcast_iou(boxes_xyxy[best], boxes_xyxy) <= SAME_OBJECT
        alive[best] = False  # a degenerate box does not overlap even itself
    return np.array(kept, np.int64)


def _check_range(name: str, value: object, most: float) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.floating)
        or not 0 <= value <= most
    ):
        raise UserError(f"{name}: must be a number from 0 to {most:g}, got {value!r}")
