"""What was detected in one picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Boxes with names in one picture, by falling score.

    Args:
        boxes_xyxy: (N, 4) float32, corners in pixels of the upright picture.
        scores: (N,) float32 in 0..1.
        labels: (N,) int64 positions in `names`.
        names: the C categories that were asked for, or that the network knows.
        size_hw: height and width of the upright picture in pixels.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    size_hw: tuple[int, int]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray) -> Detections:
        """The rows of an index array or a mask, in its order."""
        return Detections(
            self.boxes_xyxy[rows], self.scores[rows], self.labels[rows], self.names, self.size_hw
        )
