"""Proposals as stage `proposals` left them."""

from __future__ import annotations

import numpy as np

from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.pipelines.engine.shards import Sharded
from unidet.records import Detections


def best_proposals(dumped: Sharded, row: int, count: int) -> np.ndarray:
    """(P, 5) the first `count` proposals of an image, as they were dumped: best first."""
    columns = dumped.of(row)
    boxes, scores = columns["boxes_xyxy"][:count], columns["scores"][:count]
    return np.concatenate([boxes, scores[:, None]], axis=1).astype(np.float32)


def all_proposals(dumped: Sharded, image_ids: np.ndarray, category_id: int = 0) -> Detections:
    """The proposals of all images, in the order of `image_ids`, as detections of one category."""
    images = [dumped.of(row) for row in range(len(image_ids))]
    counts = [len(columns["scores"]) for columns in images]
    corners = np.concatenate([columns["boxes_xyxy"] for columns in images])
    return Detections(
        image_ids=np.repeat(image_ids, counts),
        category_ids=np.full(len(corners), category_id),
        boxes_xywh=xyxy_to_xywh(corners.astype(np.float64)),
        scores=np.concatenate([columns["scores"] for columns in images]),
    )
