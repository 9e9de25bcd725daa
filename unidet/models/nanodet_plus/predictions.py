"""The output of a head for one batch, cell by cell.

N images, P priors, C classes, K bins of a side's distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from unidet.ops.anchors import grid_points
from unidet.ops.boxes import of_the_kind
from unidet.ops.distributions import decode_distances, expected_bins


@lru_cache(maxsize=64)
def grid_priors(shapes: tuple[tuple[int, int], ...], strides: tuple[int, ...]) -> np.ndarray:
    """(P, 4) float32 x, y, stride, stride of every cell; x, y its top left corner, in pixels.

    Read-only. nanodet_plus_head.py lines 515-536: no half-cell offset.
    """
    rows = []
    for (height, width), stride in zip(shapes, strides, strict=True):
        points = grid_points(height, width, stride)
        rows.append(np.concatenate([points, np.full_like(points, stride)], axis=1))
    priors_P4 = np.concatenate(rows)
    priors_P4.setflags(write=False)
    return priors_P4


@dataclass
class Predictions:
    """Raw output of one head, in tensors or in arrays.

    Attributes:
        logits_NPL: C class logits, then 4K DFL logits of the sides left, top, right, bottom.
        priors_P4: x, y, stride, stride in input pixels.
        classes, bins: C and K.
    """

    logits_NPL: Any
    priors_P4: np.ndarray
    classes: int
    bins: int

    def of_image(self, image: int, cells: np.ndarray | None = None) -> Predictions:
        """Those of one image, of all its cells or, in arrays, of some."""
        logits_PL, priors_P4 = self.logits_NPL[image], self.priors_P4
        if cells is not None:
            logits_PL, priors_P4 = logits_PL[cells], priors_P4[cells]
        logits_1PL = logits_PL.reshape((1, *logits_PL.shape))
        return Predictions(logits_1PL, priors_P4, self.classes, self.bins)

    @property
    def class_logits(self) -> Any:
        """(N, P, C)."""
        return self.logits_NPL[:, :, : self.classes]

    @property
    def dfl_logits(self) -> Any:
        """(N, P, 4K)."""
        return self.logits_NPL[:, :, self.classes :]

    def distances(self) -> Any:
        """(N, P, 4) left, top, right, bottom in strides."""
        return expected_bins(self.dfl_logits, self.bins)

    def boxes(self) -> Any:
        """(N, P, 4) xyxy in input pixels, not clipped."""
        distances = self.distances()
        strides = of_the_kind(self.priors_P4[None, :, 2:3], distances)
        return decode_distances(self.priors_P4[:, :2], distances * strides)
