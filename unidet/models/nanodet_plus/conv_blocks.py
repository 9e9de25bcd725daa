"""The convolutions NanoDet-Plus is made of: each with batch norm, most with LeakyReLU 0.1."""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.inference import depthwise_packed
from unidet.models.layers import DepthwiseConv, PointwiseConv, convolve_normalize
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import is_blocked

LEAK = 0.1
"""Slope of every activation for negative values (module/activation.py line 32)."""


class NormedConv(nn.Module):
    """Convolution without bias, batch norm, and LeakyReLU unless `activation` is off."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = (
            PointwiseConv(in_channels, channels, bias=False)
            if kernel == stride == 1
            else nn.Conv(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        )
        self.norm = BatchNorm2d(channels, relu=activation, leak=LEAK)

    def execute(
        self, feats: jt.Var, residual: jt.Var | None = None, *, blocks: bool = False
    ) -> jt.Var:
        """Of a plain or a blocked map; the residual of the same kind is added last.

        `blocks`: of an image to a blocked map, in inference alone.
        """
        return convolve_normalize(feats, self.conv, self.norm, added=residual, blocks=blocks)


class NormedDepthwise(nn.Module):
    """The same with one filter per channel."""

    def __init__(
        self, channels: int, kernel: int, stride: int = 1, *, activation: bool = True
    ) -> None:
        super().__init__()
        self.conv = DepthwiseConv(channels, kernel, stride, (kernel // 2, kernel // 2))
        self.norm = BatchNorm2d(channels, relu=activation, leak=LEAK)

    def execute(self, feats: jt.Var) -> jt.Var:
        if is_blocked(feats):
            return depthwise_packed(feats, (self.conv, self.norm))
        return self.norm(self.conv(feats))


def separable(channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, then 1x1 convolution, both activated (module/conv.py `DepthwiseConvModule`)."""
    return nn.Sequential(NormedDepthwise(channels, kernel, stride), NormedConv(channels, channels))


def convolutions(module: nn.Module) -> list[nn.Conv | DepthwiseConv]:
    """All convolutions below `module`, for initialization."""
    return [child for child in module.modules() if isinstance(child, (nn.Conv, DepthwiseConv))]
