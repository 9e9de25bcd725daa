"""Proposals as stage `proposals` left them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from unidet.pipelines.engine.shards import Sharded

if TYPE_CHECKING:
    import numpy as np

    from unidet.records import Detections

_IMAGES_AT_ONCE = 4096


def best_proposals(dumped: Sharded, row: int, count: int) -> np.ndarray:
    """(P, 5) the first `count` proposals of an image, as they were dumped: best first."""
    import numpy as np

    columns = dumped.of(row)
    boxes, scores = columns["boxes_xyxy"][:count], columns["scores"][:count]
    return np.concatenate([boxes, scores[:, None]], axis=1).astype(np.float32)


def all_proposals(dumped: Sharded, image_ids: np.ndarray, category_id: int = 0) -> Detections:
    """The proposals of all images, in the order of `image_ids`, as detections of one category."""
    return _of_rows(dumped, range(len(image_ids)), image_ids, category_id)


def proposals_in_parts(dumped: Sharded, image_ids: np.ndarray) -> Iterator[Detections]:
    """`all_proposals` of some thousand images after another."""
    for first in range(0, len(image_ids), _IMAGES_AT_ONCE):
        rows = range(first, min(first + _IMAGES_AT_ONCE, len(image_ids)))
        yield _of_rows(dumped, rows, image_ids[rows.start : rows.stop], 0)


def _of_rows(
    dumped: Sharded, rows: Sequence[int], image_ids: np.ndarray, category_id: int
) -> Detections:
    import numpy as np

    from unidet.ops.numpy_boxes import xyxy_to_xywh
    from unidet.records import Detections

    images = [dumped.of(row) for row in rows]
    counts = [len(columns["scores"]) for columns in images]
    corners = np.concatenate([columns["boxes_xyxy"] for columns in images])
    return Detections(
        image_ids=np.repeat(image_ids, counts),
        category_ids=np.full(len(corners), category_id),
        boxes_xywh=xyxy_to_xywh(corners.astype(np.float64)),
        scores=np.concatenate([columns["scores"] for columns in images]),
    )
