"""Group normalization (Wu and He, arXiv 1803.08494) with PyTorch's semantics."""

from __future__ import annotations

import jittor as jt
from jittor import nn


class GroupNorm(nn.Module):
    """Group normalization with a weight and a bias per channel.

    The variance is the mean of squared differences from the mean. Jittor's own takes E[x²] - E[x]²,
    which loses digits where the mean is large.
    """

    def __init__(self, groups: int, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"{channels} channels do not make {groups} equal groups")
        self.groups, self.eps = groups, eps
        self.weight = jt.ones((channels,))
        self.bias = jt.zeros((channels,))

    def execute(self, x: jt.Var) -> jt.Var:
        """(N, C, H, W) -> (N, C, H, W)."""
        count, channels = x.shape[:2]
        groups = x.reshape((count * self.groups, -1))
        centred = groups - groups.mean(dim=1, keepdims=True)
        variance = (centred * centred).mean(dim=1, keepdims=True)
        normed = (centred / jt.sqrt(variance + self.eps)).reshape(x.shape)
        weight, bias = (v.reshape((1, channels, 1, 1)) for v in (self.weight, self.bias))
        return normed * weight + bias
