"""ResNet in three styles: torchvision's, variant d, and the anti-aliased one of CLIP.

N: images, C: channels, H, W: pixels of an image or cells of a feature map.

Parameter names are those of torchvision (`conv1`, `bn1`, `layer1.0.conv1`, `layer1.0.downsample.0`)
and of CLIP's ModifiedResNet (which adds `conv2`, `bn2`, `conv3`, `bn3` in the stem).
Sources: He et al., arXiv 1512.03385 (stride in the 3x3 convolution as in torchvision 0.15,
models/resnet.py); He et al., arXiv 1812.01187, 4.2 (variant d) and RT-DETR src/nn/backbone/
presnet.py; Radford et al., arXiv 2103.00020, 2.4 and clip/model.py.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import jittor as jt
from jittor import nn

from unidet.models.layers import (
    LastLayer,
    convolve_normalize,
    freeze,
    initialize_convolutions,
    set_batch_norm_training,
)
from unidet.ops import blocked_pools
from unidet.ops.activation import relu
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import can_block, is_blocked

if TYPE_CHECKING:
    from unidet.config.networks import Block, ResNetConfig, Style

EXPANSION: dict[Block, int] = {"bottleneck": 4, "basic": 1}


def mean_pool(feats_NCHW: jt.Var, stride: int) -> jt.Var:
    """Mean over stride x stride windows; a remainder at the right or bottom is dropped.

    This is a reduction because Jittor's pooling takes three times as long and does not support maps
    of a single window.
    """
    if stride == 1:
        return feats_NCHW
    if is_blocked(feats_NCHW):
        return blocked_pools.mean_pool(feats_NCHW, stride)
    count, channels, height, width = feats_NCHW.shape
    rows, columns = height // stride, width // stride
    if height % stride or width % stride:
        feats_NCHW = feats_NCHW[:, :, : rows * stride, : columns * stride]
    return feats_NCHW.reshape((count, channels, rows, stride, columns, stride)).mean(dims=(3, 5))


class _Residual(nn.Module):
    """The shortcut of both kinds of blocks: a 1 x 1 convolution where the shape changes.

    In CLIP's style, all strides are mean pools before convolutions with stride 1. In variant d, the
    stride of the shortcut is one, and the first block of a layer always has a convolution.
    """

    def __init__(
        self, style: Style, in_channels: int, channels: int, stride: int, first: bool
    ) -> None:
        super().__init__()
        self._pool = stride if style == "clip" else 1
        self._shortcut_pool = stride if style in ("clip", "vd") else 1
        self.downsample = None
        if stride > 1 or in_channels != channels or (style == "vd" and first):
            convolution_stride = stride // self._shortcut_pool
            self.downsample = nn.Sequential(
                nn.Conv(in_channels, channels, 1, stride=convolution_stride, bias=False),
                BatchNorm2d(channels),
            )

    def shortcut(self, feats_NCHW: jt.Var) -> jt.Var:
        if self.downsample is None:
            return feats_NCHW
        return convolve_normalize(mean_pool(feats_NCHW, self._shortcut_pool), *self.downsample)


class Bottleneck(_Residual):
    """1x1, 3x3 and 1x1 convolutions from `in_channels` over `width` to 4 x `width` channels."""

    def __init__(
        self, style: Style, in_channels: int, width: int, stride: int, first: bool
    ) -> None:
        channels = width * EXPANSION["bottleneck"]
        super().__init__(style, in_channels, channels, stride, first)
        convolution_stride = stride // self._pool
        self.conv1 = nn.Conv(in_channels, width, 1, bias=False)
        self.bn1 = BatchNorm2d(width, relu=True)
        self.conv2 = nn.Conv(width, width, 3, stride=convolution_stride, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width, relu=True)
        self.conv3 = nn.Conv(width, channels, 1, bias=False)
        self.bn3 = BatchNorm2d(channels)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        hidden = convolve_normalize(feats_NCHW, self.conv1, self.bn1)
        hidden = mean_pool(convolve_normalize(hidden, self.conv2, self.bn2), self._pool)
        return convolve_normalize(
            hidden, self.conv3, self.bn3, residual=self.shortcut(feats_NCHW), activation=relu
        )


class Basic(_Residual):
    """Two 3x3 convolutions to `width` channels.

    CLIP has no such block. The first convolution has the stride in all styles: with stride 1 it
    would cost four times as much, and a pool before it would lose detail.
    """

    def __init__(
        self, style: Style, in_channels: int, width: int, stride: int, first: bool
    ) -> None:
        super().__init__(style, in_channels, width, stride, first)
        self.conv1 = nn.Conv(in_channels, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width, relu=True)
        self.conv2 = nn.Conv(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        hidden = convolve_normalize(feats_NCHW, self.conv1, self.bn1)
        return convolve_normalize(
            hidden, self.conv2, self.bn2, residual=self.shortcut(feats_NCHW), activation=relu
        )


def build_layer(settings: ResNetConfig, index: int) -> nn.Sequential:
    """Layer `index` (1 to 4) on its own, as in the whole network.

    It maps (N, C_in, H, W) to (N, C, H / stride, W / stride) with C = `layer_channels(…, index)`
    and C_in that of the layer before it (`width` for the first).
    """
    kind = Bottleneck if settings.block == "bottleneck" else Basic
    in_channels = settings.width if index == 1 else layer_channels(settings, index - 1)
    channels = layer_channels(settings, index)
    inner = settings.width * 2 ** (index - 1)
    count, stride = settings.blocks[index - 1], settings.strides[index - 1]
    rest = [kind(settings.style, channels, inner, 1, False) for _ in range(count - 1)]
    layer = nn.Sequential(kind(settings.style, in_channels, inner, stride, True), *rest)
    initialize_convolutions(layer)
    return layer


def layer_channels(settings: ResNetConfig, index: int) -> int:
    """Output channels of layer `index` (1 to 4)."""
    return settings.width * EXPANSION[settings.block] * 2 ** (index - 1)


def build_last_layer(settings: ResNetConfig) -> LastLayer:
    """Layer 4 alone, to run on regions."""
    return LastLayer(build_layer(settings, 4), layer_channels(settings, 4), settings.strides[3])


def build_backbone(settings: ResNetConfig, outputs: tuple[int, ...]) -> ResNet:
    """The network, frozen as configured."""
    return ResNet(settings, outputs)


class ResNet(nn.Module):
    """Stem and up to four layers; returns the feature maps of the layers in `outputs`.

    Args:
        settings: layer i has `width` x 2^(i-1) x 4 channels (x 1 with basic blocks).
        outputs: layers to return, ascending, 1 to 4; layers after the last are not built.

    Attributes:
        channels, strides_out: per output, channels and image pixels per cell.
    """

    def __init__(self, settings: ResNetConfig, outputs: tuple[int, ...]) -> None:
        super().__init__()
        self.style = settings.style
        self.outputs = tuple(outputs)
        self._pools_stem = settings.stem_stride == 4
        self._build_stem(settings.width)
        total_strides: list[int] = [settings.stem_stride]
        for index in range(1, max(outputs) + 1):
            setattr(self, f"layer{index}", build_layer(settings, index))
            total_strides.append(total_strides[-1] * settings.strides[index - 1])
        self.channels = tuple(layer_channels(settings, index) for index in self.outputs)
        self.strides_out = tuple(total_strides[index] for index in self.outputs)
        self.freeze(settings.frozen_stages)

    def _build_stem(self, width: int) -> None:
        if self.style == "torchvision":
            self.conv1 = nn.Conv(3, width, 7, stride=2, padding=3, bias=False)
            self.bn1 = BatchNorm2d(width, relu=True)
        else:
            self.conv1 = nn.Conv(3, width // 2, 3, stride=2, padding=1, bias=False)
            self.bn1 = BatchNorm2d(width // 2, relu=True)
            self.conv2 = nn.Conv(width // 2, width // 2, 3, padding=1, bias=False)
            self.bn2 = BatchNorm2d(width // 2, relu=True)
            self.conv3 = nn.Conv(width // 2, width, 3, padding=1, bias=False)
            self.bn3 = BatchNorm2d(width, relu=True)
        for part in self._stem():
            initialize_convolutions(part)

    def _stem(self) -> list[nn.Module]:
        first = [self.conv1, self.bn1]
        if self.style == "torchvision":
            return first
        return [*first, self.conv2, self.bn2, self.conv3, self.bn3]

    def freeze(self, stages: int) -> None:
        """Freeze the stem and layers 1 to `stages`: no gradients, running statistics.

        0 freezes nothing. `set_batch_norm_training` does not affect frozen stages.
        """
        self.frozen_stages = stages
        if stages:
            freeze([*self._stem(), *(getattr(self, f"layer{i}") for i in range(1, stages + 1))])

    def freeze_stem(self) -> None:
        """Freeze only the stem."""
        freeze(self._stem())

    def set_batch_norm_training(self, training: bool) -> None:
        """Use batch statistics (True) or running ones (False) in all stages that are not frozen."""
        set_batch_norm_training(self, training)
        self.freeze(self.frozen_stages)

    def _stem_features(self, images_NCHW: jt.Var) -> jt.Var:
        blocks = can_block(self.conv1.weight.shape[0])
        feats = convolve_normalize(images_NCHW, self.conv1, self.bn1, blocks=blocks)
        if self.style != "torchvision":
            feats = convolve_normalize(feats, self.conv2, self.bn2)
            feats = convolve_normalize(feats, self.conv3, self.bn3)
        if self.style == "clip":
            return mean_pool(feats, 2 if self._pools_stem else 1)
        if not self._pools_stem:
            return feats
        return blocked_pools.max_pool(feats)

    def execute(self, images_NCHW: jt.Var) -> list[jt.Var]:
        """Feature maps of the layers in `outputs` for normalized images (N, 3, H, W).

        They are blocked (ops/blocked_maps.py) if the CPU supports it, the width is a multiple of
        LANES and batch norms use running statistics.
        """
        maps = []
        with self._keeping(0):
            feats = self._stem_features(images_NCHW)
        for index in range(1, max(self.outputs) + 1):
            with self._keeping(index):
                feats = getattr(self, f"layer{index}")(feats)
            if index in self.outputs:
                maps.append(feats)
        return maps

    def _keeping(self, stage: int) -> AbstractContextManager[None]:
        """Context for running a stage (0: the stem); frozen stages run without gradients."""
        return jt.no_grad() if 0 < self.frozen_stages >= stage else nullcontext()
