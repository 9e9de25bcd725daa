"""Detections of a closed-set detector on the images of a split, in COCO's terms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.records import Batch, Detected, Detections

if TYPE_CHECKING:
    import jittor as jt

    Detect = Callable[[jt.Var, np.ndarray], list[Detected]]

NO_CATEGORY = int(np.iinfo(np.int64).min)


def detect_batches(
    detect: Detect,
    batches: Iterable[Batch],
    image_ids: np.ndarray,
    category_ids: np.ndarray,
) -> Detections:
    """Every detection of a network, in original pixels.

    Args:
        detect: normalised images (N, 3, H, W) and sizes (N, 2) before padding -> N `Detected`.
        batches: of `data.loader.evaluation_batches`; rows in any order.
        image_ids: of the whole split, by the batches' rows.
        category_ids: of the network's classes, in their order; what it takes for a class that is
            `NO_CATEGORY` is left out.
    """
    from unidet.training.inference import as_images

    images, categories, boxes, scores = [], [], [], []
    for batch in batches:
        found = detect(as_images(batch), batch.sizes_N2)
        rows = zip(batch.image_rows, batch.scales_N4, found, strict=True)
        for row, scale, detected in rows:
            kept = category_ids[detected.labels] != NO_CATEGORY
            images.append(np.full(kept.sum(), image_ids[row], np.int64))
            categories.append(category_ids[detected.labels[kept]])
            boxes.append(detected.boxes[kept].astype(np.float64) / scale)
            scores.append(detected.scores[kept])
    corners = np.concatenate([np.zeros((0, 4)), *boxes])
    return Detections(
        np.concatenate([np.zeros(0, np.int64), *images]),
        np.concatenate([np.zeros(0, np.int64), *categories]),
        xyxy_to_xywh(corners),
        np.concatenate([np.zeros(0, np.float32), *scores]),
    )
