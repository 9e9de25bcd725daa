"""The RoIs of a batch in one array, and splitting of their results by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def rois_of(boxes: Sequence[np.ndarray]) -> np.ndarray:
    """RoIs (R, 5) float32 for `roi_align`: index of the image in the batch, x1, y1, x2, y2.

    `boxes` holds an array (P, 4) per image. Further columns are ignored; P may be 0.
    """
    rois = [np.insert(own[:, :4], 0, image, axis=1) for image, own in enumerate(boxes)]
    return np.concatenate(rois).astype(np.float32)


def split_by_image(rows: np.ndarray, boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Split R rows, in the order of `rois_of(boxes)`, into one array per image."""
    return np.split(rows, np.cumsum([len(own) for own in boxes])[:-1])
