"""GhostPAN: a path aggregation neck of ghost bottlenecks, with one more level at stride 64.

N images, C channels, H and W cells. Sources: nanodet model/fpn/ghost_pan.py; Han et al., GhostNet,
arXiv 1911.11907, model/backbone/ghostnet.py lines 97-215.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.nanodet_plus.conv_blocks import (
    NormedConv,
    NormedDepthwise,
    convolutions,
    separable,
)
from unidet.ops.blocked_inference import resize_bilinear
from unidet.ops.blocked_maps import is_blocked
from unidet.ops.recording import join


def _resized(feats: jt.Var, size: tuple[int, int]) -> jt.Var:
    if is_blocked(feats):
        return resize_bilinear(feats, size)
    return nn.interpolate(feats, size=size, mode="bilinear", align_corners=False)


class GhostModule(nn.Module):
    """Half of the channels by a 1x1 convolution, the others from those by a cheap depthwise 3x3."""

    def __init__(self, in_channels: int, channels: int, *, activation: bool) -> None:
        super().__init__()
        half = channels // 2
        self.primary = NormedConv(in_channels, half, activation=activation)
        self.cheap = NormedDepthwise(half, 3, activation=activation)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        primary = self.primary(feats_NCHW)
        return join([primary, self.cheap(primary)], dim=1)


class GhostBottleneck(nn.Module):
    """Two ghost modules beside a depthwise-separable shortcut without any activation."""

    def __init__(self, in_channels: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.ghost1 = GhostModule(in_channels, channels, activation=True)
        self.ghost2 = GhostModule(channels, channels, activation=False)
        self.shortcut = nn.Sequential(
            NormedDepthwise(in_channels, kernel, activation=False),
            NormedConv(in_channels, channels, activation=False),
        )

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        depthwise, pointwise = self.shortcut
        return pointwise(depthwise(feats_NCHW), residual=self.ghost2(self.ghost1(feats_NCHW)))


class GhostPAN(nn.Module):
    """Three backbone maps to four levels of `channels` channels, strides 8, 16, 32 and 64."""

    def __init__(self, in_channels: tuple[int, ...], channels: int, kernel: int = 5) -> None:
        super().__init__()
        steps = len(in_channels) - 1
        self.reduce = nn.Sequential(*(NormedConv(count, channels) for count in in_channels))
        self.top_down = nn.Sequential(
            *(GhostBottleneck(2 * channels, channels, kernel) for _ in range(steps))
        )
        self.downsample = nn.Sequential(*(separable(channels, kernel, 2) for _ in range(steps)))
        self.bottom_up = nn.Sequential(
            *(GhostBottleneck(2 * channels, channels, kernel) for _ in range(steps))
        )
        self.extra_in = separable(channels, kernel, 2)
        self.extra_out = separable(channels, kernel, 2)
        self._initialize()

    def execute(self, feats: list[jt.Var]) -> list[jt.Var]:
        """Maps (N, C_i, H_i, W_i), each half the size of the one before, to four levels.

        Blocked if the maps are, for which half of `channels` must fill the lanes.
        """
        reduced = [layer(level) for layer, level in zip(self.reduce, feats, strict=True)]
        levels = [reduced[-1]]
        for block, lower in zip(self.top_down, reduced[-2::-1], strict=True):
            upper = _resized(levels[0], lower.shape[2:4])
            levels.insert(0, block(join([upper, lower], dim=1)))
        outputs = [levels[0]]
        steps = zip(self.downsample, self.bottom_up, levels[1:], strict=True)
        for downsample, block, level in steps:
            outputs.append(block(join([downsample(outputs[-1]), level], dim=1)))
        depthwise, pointwise = self.extra_in
        extra = pointwise(depthwise(reduced[-1]), residual=self.extra_out(outputs[-1]))
        return [*outputs, extra]

    def _initialize(self) -> None:
        """Ghost blocks: uniform in 1 / sqrt(fan in), PyTorch's default; the rest He, fan out."""
        for convolution in convolutions(self):
            jt.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
        for block in (*self.top_down, *self.bottom_up):
            for convolution in convolutions(block):
                jt.init.kaiming_uniform_(convolution.weight, a=5**0.5)
