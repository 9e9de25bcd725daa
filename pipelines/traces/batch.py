"""A training batch of the images and boxes that a trace is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unidet.records import Batch


def plain_batch(
    images_NCHW: np.ndarray,
    sizes_N2: np.ndarray,
    boxes: Sequence[np.ndarray],
    labels: Sequence[np.ndarray] | None = None,
    epoch: int = 0,
) -> Batch:
    """Neither scaled nor flipped; `labels` None: what the boxes are does not matter."""
    count = len(images_NCHW)
    known = [np.zeros(len(rows), np.int64) for rows in boxes] if labels is None else list(labels)
    return Batch(
        images_NCHW=images_NCHW,
        sizes_N2=sizes_N2,
        scales_N4=np.ones((count, 4), np.float32),
        flips_N2=np.zeros((count, 2), bool),
        boxes=list(boxes),
        labels=known,
        dataset_ids=np.zeros(count, np.int32),
        image_rows=np.arange(count, dtype=np.int32),
        epoch=epoch,
    )
