"""Backbone and FPN of stage 1 in PyTorch, on a processor."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


class Bottleneck(nn.Module):
    """As torchvision's, stride in the 3x3 convolution."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        sizes = ((channels_in, width, 1, 1), (width, width, 3, stride), (width, width * 4, 1, 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, kernel, step, kernel // 2, bias=False) for a, b, kernel, step in sizes
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(size[1]) for size in sizes)
        self.shortcut = nn.Identity()
        if stride > 1 or channels_in != width * 4:
            project = nn.Conv2d(channels_in, width * 4, 1, stride, bias=False)
            self.shortcut = nn.Sequential(project, nn.BatchNorm2d(width * 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for row, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            y = norm(convolution(y))
            y = F.relu_(y if row < 2 else y.add_(self.shortcut(x)))
        return y


class Trunk(nn.Module):
    """ResNet-50 and FPN of five levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)
        )
        layers, channels = [], 64
        for index, count in enumerate((3, 4, 6, 3)):
            width = 64 << index
            blocks = []
            for row in range(count):
                blocks.append(Bottleneck(channels, width, 2 if row == 0 and index else 1))
                channels = width * 4
            layers.append(nn.Sequential(*blocks))
        self.layers = nn.ModuleList(layers)
        self.lateral = nn.ModuleList(nn.Conv2d(256 << i, 256, 1) for i in range(4))
        self.smooth = nn.ModuleList(nn.Conv2d(256, 256, 3, padding=1) for _ in range(4))

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        x = F.max_pool2d(self.stem(images), 3, 2, 1)
        maps = []
        for layer in self.layers:
            x = layer(x)
            maps += [x]
        merged = [lateral(level) for lateral, level in zip(self.lateral, maps, strict=True)]
        for fine in (2, 1, 0):
            size = merged[fine].shape[2:]
            merged[fine] = merged[fine] + F.interpolate(merged[fine + 1], size=size)
        outputs = [smooth(level) for smooth, level in zip(self.smooth, merged, strict=True)]
        return [*outputs, outputs[-1][:, :, ::2, ::2]]


def trunk() -> Callable[[], Any]:
    """Forward pass of one image, as many threads as `OMP_NUM_THREADS` or cores."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    model, images = Trunk().eval(), torch.randn(1, 3, 800, 1088)

    def forward() -> None:
        with torch.inference_mode():
            model(images)

    return forward
