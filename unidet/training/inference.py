"""From numpy batches to Jittor tensors."""

from __future__ import annotations

import jittor as jt

from unidet.records import Batch


def as_images(batch: Batch) -> jt.Var:
    """The batch's images (N, 3, H, W) as a tensor."""
    return jt.array(batch.images_NCHW)
