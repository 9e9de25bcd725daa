"""A `Batch` for any test, from what the test is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unidet.records import Batch


def make_batch(
    images: np.ndarray | tuple[int, int],
    boxes: Sequence[Any],
    labels: Sequence[Any] | None = None,
    *,
    sizes: Any = None,
    scale: float = 1,
    datasets: Sequence[int] | None = None,
    proposals: Sequence[Any] | None = None,
    rows: Sequence[int] | None = None,
    epoch: int = 0,
) -> Batch:
    """N images with their targets, as the loader hands them to a network.

    Args:
        images: (N, 3, H, W), or (H, W) for black ones.
        boxes: per image (M_i, 4) xyxy; `[]` where it has none.
        labels: per image (M_i,); all 0 by default.
        sizes: (N, 2) height and width inside the padding; the whole image by default.
        scale: resized over original side, the same for all images.
        datasets: (N,) which label space an image has; all 0 by default.
        proposals: per image (P_i, 5) xyxy and score.
        rows: (N,) the images' rows in their split; 0, 1, … by default.
    """
    count = len(boxes)
    if isinstance(images, tuple):
        images = np.zeros((count, 3, *images), np.float32)
    found = [np.asarray(part, np.float32).reshape(-1, 4) for part in boxes]
    named = [[0] * len(part) for part in found] if labels is None else labels
    return Batch(
        images_NCHW=images.astype(np.float32),
        sizes_N2=np.array([images.shape[2:]] * count if sizes is None else sizes, np.int32),
        scales_N4=np.full((count, 4), scale, np.float32),
        flips_N2=np.zeros((count, 2), bool),
        boxes=found,
        labels=[np.asarray(part, np.int32) for part in named],
        dataset_ids=np.array([0] * count if datasets is None else datasets, np.int32),
        image_rows=np.array(range(count) if rows is None else rows, np.int32),
        proposals=proposals and [np.asarray(part, np.float32).reshape(-1, 5) for part in proposals],
        epoch=epoch,
    )
