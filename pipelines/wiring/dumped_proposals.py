"""Proposals as stage `proposals` left them."""

from __future__ import annotations

import numpy as np

from unidet.pipelines.engine.shards import Sharded


def best_proposals(dumped: Sharded, row: int, count: int) -> np.ndarray:
    """(P, 5) the first `count` proposals of an image, as they were dumped: best first."""
    columns = dumped.of(row)
    boxes, scores = columns["boxes_xyxy"][:count], columns["scores"][:count]
    return np.concatenate([boxes, scores[:, None]], axis=1).astype(np.float32)
