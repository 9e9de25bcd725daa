"""A plain pool, for backbones without CLIP's attention pool."""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.ops.blocked_maps import to_plain


class MeanPool(nn.Module):
    """Mean over the map and a linear projection."""

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__()
        self.projection = nn.Linear(channels, embedding)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        """(N, channels, H, W) -> (N, embedding)."""
        return self.projection(to_plain(feats_NCHW).mean(dims=(2, 3)))
