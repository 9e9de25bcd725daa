"""A batch's regions in one table, image after image, and what is found for them apart again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rois_of(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """(R, 5) float32: image row, x1, y1, x2, y2, as `roi_align` takes them.

    `boxes` are each image's, (P, 4) or more columns that are not read; P may be 0.
    """
    rois = [np.insert(own[:, :4], 0, image, axis=1) for image, own in enumerate(boxes)]
    return np.concatenate(rois).astype(np.float32)


def by_image(rows: np.ndarray, boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each image's part of R rows in the order of `rois_of(boxes)`."""
    return np.split(rows, np.cumsum([len(own) for own in boxes])[:-1])
