"""ResNets of three styles in PyTorch, with a feature pyramid.

Parameters have the same names as in unidet.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F


def convolution(
    channels_in: int, channels: int, kernel: int, stride: int = 1, bias: bool = False
) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=bias)


class Block(nn.Module):
    """Residual block: a bottleneck, or two 3 x 3 convolutions.

    Mean pools before 1 x 1 convolutions replace all strides in CLIP's style, and the stride of the
    shortcut in variant d ("vd").
    """

    def __init__(
        self, style: str, bottleneck: bool, channels_in: int, width: int, stride: int, first: bool
    ) -> None:
        super().__init__()
        kernels = ((1, width), (3, width), (1, width * 4)) if bottleneck else ((3, width),) * 2
        strided = 2 if bottleneck else 1
        channels = channels_in
        for row, (kernel, filters) in enumerate(kernels, 1):
            step = stride if row == strided and style != "clip" else 1
            setattr(self, f"conv{row}", convolution(channels, filters, kernel, step))
            setattr(self, f"bn{row}", nn.BatchNorm2d(filters))
            channels = filters
        self.rows, self.strided = len(kernels), strided
        self.pool = stride if style == "clip" else 1
        self.shortcut_pool = stride if style != "torchvision" else 1
        self.downsample = None
        if stride > 1 or channels_in != channels or (style == "vd" and first):
            step = stride // self.shortcut_pool
            project = convolution(channels_in, channels, 1, step)
            self.downsample = nn.Sequential(project, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for row in range(1, self.rows + 1):
            y = getattr(self, f"bn{row}")(getattr(self, f"conv{row}")(y))
            if row < self.rows:
                y = F.relu_(y)
            if row == self.strided and self.pool > 1:
                y = F.avg_pool2d(y, self.pool)
        if self.downsample is not None:
            x = F.avg_pool2d(x, self.shortcut_pool) if self.shortcut_pool > 1 else x
            x = self.downsample(x)
        return F.relu_(y.add_(x))


def layer(
    style: str, bottleneck: bool, channels_in: int, index: int, count: int
) -> tuple[nn.Sequential, int]:
    """Layer `index` (1 to 4) of `count` blocks, and its number of output channels."""
    blocks, width = [], 32 << index
    for row in range(count):
        stride = 2 if row == 0 and index > 1 else 1
        blocks.append(Block(style, bottleneck, channels_in, width, stride, row == 0))
        channels_in = width * (4 if bottleneck else 1)
    return nn.Sequential(*blocks), channels_in


class ResNet(nn.Module):
    """Stem and layers; returns the maps of the layers in `outputs`.

    Batch norms use running statistics. `frozen`: stem and first layer are not trained.
    """

    def __init__(
        self,
        style: str,
        outputs: Sequence[int],
        counts: Sequence[int] = (3, 4, 6, 3),
        bottleneck: bool = True,
        frozen: bool = True,
    ) -> None:
        super().__init__()
        self.style, self.outputs = style, tuple(outputs)
        stem = [(3, 64, 7, 2)] if style == "torchvision" else [(3, 32, 3, 2), (32, 32, 3, 1)]
        if style != "torchvision":
            stem.append((32, 64, 3, 1))
        self.stem_rows = range(1, len(stem) + 1)
        for row, sizes in enumerate(stem, 1):
            setattr(self, f"conv{row}", convolution(*sizes))
            setattr(self, f"bn{row}", nn.BatchNorm2d(sizes[1]))
        channels, self.channels = 64, []
        for index in range(1, max(outputs) + 1):
            blocks, channels = layer(style, bottleneck, channels, index, counts[index - 1])
            setattr(self, f"layer{index}", blocks)
            if index in self.outputs:
                self.channels.append(channels)
        if frozen:
            self._freeze()

    def _freeze(self) -> None:
        parts = [self.layer1]
        for row in self.stem_rows:
            parts += [getattr(self, f"conv{row}"), getattr(self, f"bn{row}")]
        for part in parts:
            part.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x, maps = images, []
        for row in self.stem_rows:
            x = F.relu_(getattr(self, f"bn{row}")(getattr(self, f"conv{row}")(x)))
        x = F.avg_pool2d(x, 2) if self.style == "clip" else F.max_pool2d(x, 3, 2, 1)
        for index in range(1, max(self.outputs) + 1):
            x = getattr(self, f"layer{index}")(x)
            if index in self.outputs:
                maps.append(x)
        return maps


class FPN(nn.Module):
    """Five levels from four maps, as in mmdet 2.18."""

    def __init__(self, channels_in: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(
            convolution(count, channels, 1, bias=True) for count in channels_in
        )
        self.fpn_convs = nn.ModuleList(
            convolution(channels, channels, 3, bias=True) for _ in channels_in
        )

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        merged = [lateral(level) for lateral, level in zip(self.lateral_convs, maps, strict=True)]
        for fine in range(len(merged) - 2, -1, -1):
            size = merged[fine].shape[2:]
            merged[fine] = merged[fine] + F.interpolate(merged[fine + 1], size=size)
        outputs = [smooth(level) for smooth, level in zip(self.fpn_convs, merged, strict=True)]
        return [*outputs, F.max_pool2d(outputs[-1], 1, 2)]
