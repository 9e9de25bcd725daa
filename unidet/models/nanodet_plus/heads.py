"""The head that is kept and the auxiliary one that only assigns in training.

N images, P priors (cells of all levels, finest level first, row by row), C classes, K bins of a
side's distance, so 4K numbers for the sides left, top, right, bottom.

Sources: nanodet model/head/nanodet_plus_head.py, simple_conv_head.py.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.layers import PointwiseConv, flat_cells, predict_cells
from unidet.models.nanodet_plus.conv_blocks import LEAK, convolutions, separable
from unidet.ops.group_norm import GroupNorm
from unidet.ops.recording import join

RARE = -4.595
"""Logit of probability 0.01: what every cell says at first."""


class NanoDetPlusHead(nn.Module):
    """Per level two separable 5x5 convolutions and one 1x1 for classes and sides together.

    The bias starts at `RARE` for the sides too, which their softmax does not see.
    """

    def __init__(
        self, channels: int, classes: int, bins: int, *, levels: int = 4, kernel: int = 5
    ) -> None:
        super().__init__()
        self.towers = nn.Sequential(
            *(
                nn.Sequential(separable(channels, kernel), separable(channels, kernel))
                for _ in range(levels)
            )
        )
        self.predict = nn.Sequential(
            *(PointwiseConv(channels, classes + 4 * bins) for _ in range(levels))
        )
        for convolution in convolutions(self):
            jt.init.gauss_(convolution.weight, 0.0, 0.01)
        for convolution in self.predict:
            jt.init.constant_(convolution.bias, RARE)

    def execute(self, levels: list[jt.Var]) -> jt.Var:
        """Levels (N, channels, H, W) to logits (N, P, C + 4K)."""
        stages = zip(self.towers, self.predict, levels, strict=True)
        return join([predict_cells(tower(x), last) for tower, last, x in stages], dim=1)


class GroupedConv(nn.Module):
    """3x3 convolution without bias, group norm over 32 groups, LeakyReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv(channels, channels, 3, padding=1, bias=False)
        self.norm = GroupNorm(32, channels)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        return nn.leaky_relu(self.norm(self.conv(feats_NCHW)), LEAK)


class Scale(nn.Module):
    """One number that its input is multiplied by."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = jt.ones((1,))

    def execute(self, x: jt.Var) -> jt.Var:
        return x * self.scale


class AuxiliaryHead(nn.Module):
    """Two towers of full convolutions, the same for all levels; sides scaled level by level."""

    def __init__(
        self, channels: int, classes: int, bins: int, *, levels: int = 4, depth: int = 4
    ) -> None:
        super().__init__()
        self.class_tower = nn.Sequential(*(GroupedConv(channels) for _ in range(depth)))
        self.side_tower = nn.Sequential(*(GroupedConv(channels) for _ in range(depth)))
        self.predict_classes = nn.Conv(channels, classes, 3, padding=1)
        self.predict_sides = nn.Conv(channels, 4 * bins, 3, padding=1)
        self.scales = nn.Sequential(*(Scale() for _ in range(levels)))
        for convolution in convolutions(self):
            jt.init.gauss_(convolution.weight, 0.0, 0.01)
        jt.init.constant_(self.predict_classes.bias, RARE)
        jt.init.constant_(self.predict_sides.bias, 0.0)

    def execute(self, levels: list[jt.Var]) -> jt.Var:
        """Levels (N, channels, H, W) to logits (N, P, C + 4K)."""
        return jt.concat(
            [self._level(x, scale) for x, scale in zip(levels, self.scales, strict=True)], dim=1
        )

    def _level(self, feats_NCHW: jt.Var, scale: Scale) -> jt.Var:
        classes = self.predict_classes(self.class_tower(feats_NCHW))
        sides = scale(self.predict_sides(self.side_tower(feats_NCHW)))
        return flat_cells(jt.concat([classes, sides], dim=1))
