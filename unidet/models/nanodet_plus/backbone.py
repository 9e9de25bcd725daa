"""ShuffleNetV2 (Ma et al., arXiv 1807.11164) as NanoDet uses it: without conv5, LeakyReLU 0.1.

N images, C channels, H and W cells. Source: nanodet model/backbone/shufflenetv2.py.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.nanodet_plus.conv_blocks import NormedConv, NormedDepthwise, convolutions
from unidet.ops.batch_norm import BatchNorm2d

BLOCKS = (4, 8, 4)


def shuffled(first_NCHW: jt.Var, second_NCHW: jt.Var) -> jt.Var:
    """Channels of two equal maps in turn: (N, C, H, W) twice to (N, 2C, H, W)."""
    count, channels, height, width = first_NCHW.shape
    pairs = jt.stack([first_NCHW, second_NCHW], dim=2)
    return pairs.reshape((count, 2 * channels, height, width))


class ShuffleBlock(nn.Module):
    """At stride 1 half of the channels pass untouched; at stride 2 both halves see the whole map.

    `main` is the official branch2, `shortcut` branch1.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        half = channels // 2
        self.shortcut = None
        if stride == 2:
            self.shortcut = nn.Sequential(
                NormedDepthwise(in_channels, 3, 2, activation=False), NormedConv(in_channels, half)
            )
        self.main = nn.Sequential(
            NormedConv(in_channels if stride == 2 else half, half),
            NormedDepthwise(half, 3, stride, activation=False),
            NormedConv(half, half),
        )

    def execute(self, feats_NCHW: jt.Var) -> jt.Var:
        if self.shortcut is not None:
            return shuffled(self.shortcut(feats_NCHW), self.main(feats_NCHW))
        half = feats_NCHW.shape[1] // 2
        return shuffled(feats_NCHW[:, :half], self.main(feats_NCHW[:, half:]))


class ShuffleNetV2(nn.Module):
    """Feature maps at strides 8, 16 and 32.

    Args:
        channels: of the stem and of the three stages; 24, 116, 232, 464 for 1.0x and
            24, 176, 352, 704 for 1.5x.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        stem, *stages = channels
        self.channels = tuple(stages)
        self.stem = NormedConv(3, stem, 3, 2)
        self.pool = nn.Pool(3, 2, 1, op="maximum")
        before = (stem, *stages[:-1])
        self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(
                ShuffleBlock(narrow, wide, 2), *(ShuffleBlock(wide, wide, 1) for _ in range(1, n))
            )
            for narrow, wide, n in zip(before, stages, BLOCKS, strict=True)
        )
        self._initialize()

    def execute(self, images_NCHW: jt.Var) -> list[jt.Var]:
        """Images (N, 3, H, W), H and W multiples of 32, to three maps, finest first."""
        feats = self.pool(self.stem(images_NCHW))
        maps = []
        for stage in (self.stage2, self.stage3, self.stage4):
            feats = stage(feats)
            maps.append(feats)
        return maps

    def _initialize(self) -> None:
        """Lines 187-207: standard deviation 1 / inputs per group, so 1 for depthwise filters."""
        for convolution in convolutions(self):
            jt.init.gauss_(convolution.weight, 0.0, 1.0 / convolution.weight.shape[1])
        for child in self.modules():
            if isinstance(child, BatchNorm2d):
                jt.init.constant_(child.bias, 1e-4)
