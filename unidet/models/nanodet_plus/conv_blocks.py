"""The convolutions NanoDet-Plus is made of: each with batch norm, most with LeakyReLU 0.1."""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.layers import DepthwiseConv, PointwiseConv
from unidet.ops import blocked_inference
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
        if blocks or is_blocked(feats):
            return blocked_inference.convolve_normalize(
                feats,
                self.conv.weight,
                self.norm,
                stride=self.conv.stride[0],
                padding=self.conv.padding[0],
                residual=residual,
            )
        result = self.norm(self.conv(feats))
        return result if residual is None else result + residual


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
            conv = self.conv
            return blocked_inference.depthwise_normalize(
                feats, conv.weight, self.norm, conv.stride, *conv.padding
            )
        return self.norm(self.conv(feats))


def separable(channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Depthwise, then 1x1 convolution, both activated (module/conv.py `DepthwiseConvModule`)."""
    return nn.Sequential(NormedDepthwise(channels, kernel, stride), NormedConv(channels, channels))


def convolutions(module: nn.Module) -> list[nn.Conv | DepthwiseConv]:
    """All convolutions below `module`, for initialization."""
    return [child for child in module.modules() if isinstance(child, (nn.Conv, DepthwiseConv))]
