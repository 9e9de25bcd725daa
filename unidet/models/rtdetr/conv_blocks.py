"""Convolutional blocks of RT-DETR's encoder, under the official parameter names.

Source: RT-DETR src/zoo/rtdetr/hybrid_encoder.py lines 15-112.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.inference import convolve_packed, packs
from unidet.models.layers import convolve_normalize
from unidet.ops.activation import silu
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import is_blocked


class ConvNorm(nn.Module):
    """Convolution without bias at padding (kernel - 1) // 2, batch norm, SiLU if `activate`."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int = 1, activate: bool = True
    ) -> None:
        super().__init__()
        padding = (kernel - 1) // 2
        self.conv = nn.Conv(
            in_channels, channels, kernel, stride=stride, padding=padding, bias=False
        )
        self.norm = BatchNorm2d(channels)
        self._activate = activate

    def execute(self, feats_NCHW: jt.Var, added: jt.Var | None = None) -> jt.Var:
        """With what is `added` last."""
        activation = silu if self._activate else None
        return convolve_normalize(
            feats_NCHW, self.conv, self.norm, activation=activation, added=added
        )


class RepVGG(nn.Module):
    """SiLU of the sum of a 3x3 and a 1x1 convolution, both normalized. arXiv 2101.03697."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(channels, channels, 3, activate=False)
        self.conv2 = ConvNorm(channels, channels, 1, activate=False)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        if is_blocked(feats_NCHW) and packs(self.conv1.norm):
            branches = ((branch.conv, branch.norm) for branch in (self.conv1, self.conv2))
            return convolve_packed(feats_NCHW, *branches, silu=True)
        return silu(self.conv1(feats_NCHW) + self.conv2(feats_NCHW))


class CSPRep(nn.Module):
    """Cross-stage partial block: `depth` RepVGG blocks beside a shortcut, at `inner` channels."""

    def __init__(self, in_channels: int, channels: int, inner: int, depth: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(in_channels, inner, 1)
        self.conv2 = ConvNorm(in_channels, inner, 1)
        self.bottlenecks = nn.Sequential(*(RepVGG(inner) for _ in range(depth)))
        self.conv3 = None if inner == channels else ConvNorm(inner, channels, 1)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        merged = self.conv2(feats_NCHW, added=self.bottlenecks(self.conv1(feats_NCHW)))
        return merged if self.conv3 is None else self.conv3(merged)
