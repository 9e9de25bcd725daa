"""Group normalization (Wu and He, arXiv 1803.08494) with PyTorch's semantics."""

from __future__ import annotations

import jittor as jt
from jittor import nn


class GroupNorm(nn.Module):
    """Each image's groups of channels to mean 0 and variance 1, then a factor and bias per channel.

    The variance is taken about the mean; Jittor's own subtracts two large squares.
    """

    def __init__(self, groups: int, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        if channels % groups:
            raise ValueError(f"{channels} channels do not make {groups} equal groups")
        self.groups, self.eps = groups, eps
        self.weight = jt.ones((channels,))
        self.bias = jt.zeros((channels,))

    def execute(self, x: jt.Var) -> jt.Var:
        """(N, C, H, W), same shape out."""
        count, channels = x.shape[:2]
        groups = x.reshape((count * self.groups, -1))
        centred = groups - groups.mean(dim=1, keepdims=True)
        variance = (centred * centred).mean(dim=1, keepdims=True)
        normed = (centred / jt.sqrt(variance + self.eps)).reshape(x.shape)
        weight, bias = (v.reshape((1, channels, 1, 1)) for v in (self.weight, self.bias))
        return normed * weight + bias
