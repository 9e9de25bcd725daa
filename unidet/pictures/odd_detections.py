"""What is said of detections that cannot depend on what the images show."""

from __future__ import annotations

import numpy as np

from unidet.pictures.detections import Detections

FEWEST = 10
"""So many boxes, in two images at least, tell something."""


class Alike:
    """What all detections of a run have in common, as they are counted."""

    def __init__(self) -> None:
        self._images = 0
        self._boxes = 0
        self._first = np.zeros(5, np.float32)
        self._same_box = self._same_score = True

    def add(self, detections: Detections) -> None:
        """Those of one image or frame."""
        rows = np.column_stack([detections.boxes_xyxy, detections.scores])
        if not len(rows):
            return
        if not self._boxes:
            self._first = rows[0]
        self._images += 1
        self._boxes += len(rows)
        self._same_box &= bool((rows[:, :4] == self._first[:4]).all())
        self._same_score &= bool((rows[:, 4] == self._first[4]).all())

    def line(self) -> str:
        """What they have in common, with the likely cause; empty for usual ones."""
        if self._boxes < FEWEST or self._images < 2 or not (self._same_box or self._same_score):
            return ""
        *corners, score = self._first.tolist()
        alike = [f"the score {score:.4g}"] * self._same_score
        alike += [f"the box {' '.join(f'{side:g}' for side in corners)}"] * self._same_box
        return (
            f"all {self._boxes} boxes have {' and '.join(alike)}, whatever the {self._images} "
            "images show: are the images the same, or the weights of another network, or untrained?"
        )
