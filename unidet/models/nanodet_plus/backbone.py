"""ShuffleNetV2 (Ma et al., arXiv 1807.11164) as NanoDet uses it: without conv5, LeakyReLU 0.1.

N images, C channels, H and W cells. Source: nanodet model/backbone/shufflenetv2.py.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.nanodet_plus.conv_blocks import NormedConv, NormedDepthwise, convolutions
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_inference import interleave_channels
from unidet.ops.blocked_maps import is_blocked
from unidet.ops.blocked_pools import max_pool

BLOCKS = (4, 8, 4)


Halves = tuple[jt.Var, jt.Var]
"""Two maps of equally many channels, plain or blocked both."""


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

    def execute(self, first: jt.Var, second: jt.Var | None = None) -> Halves:
        """Both halves of the next map; of the whole map at stride 2."""
        if self.shortcut is not None:
            return self.shortcut(first), self.main(first)
        return first, self.main(second)


class ShuffleStage(nn.Sequential):
    """Blocks with their halves' channels taken in turn; `half` channels each."""

    def __init__(self, in_channels: int, channels: int, blocks: int) -> None:
        super().__init__(
            ShuffleBlock(in_channels, channels, 2),
            *(ShuffleBlock(channels, channels, 1) for _ in range(1, blocks)),
        )
        self.half = channels // 2

    def execute(self, feats: jt.Var) -> jt.Var:
        """(N, in_channels, H, W) to (N, channels, H / 2, W / 2), blocked if `feats` are."""
        start, *others = self
        first, second = start(feats)
        for block in others:
            first, second = block(*self._exchanged(first, second))
        if is_blocked(feats):
            return interleave_channels(first, second, self.half, 0, 2 * self.half)
        return shuffled(first, second)

    def _exchanged(self, first: jt.Var, second: jt.Var) -> Halves:
        half = self.half
        if is_blocked(first):
            low, high = (
                interleave_channels(first, second, half, start, half) for start in (0, half)
            )
            return low, high
        whole = shuffled(first, second)
        return whole[:, :half], whole[:, half:]


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
        before = (stem, *stages[:-1])
        self.stage2, self.stage3, self.stage4 = (
            ShuffleStage(narrow, wide, n)
            for narrow, wide, n in zip(before, stages, BLOCKS, strict=True)
        )
        self._initialize()

    def execute(self, images_NCHW: jt.Var, *, blocks: bool = False) -> list[jt.Var]:
        """Images (N, 3, H, W), H and W multiples of 32, to three maps, finest first.

        `blocks`: the maps are blocked (ops/blocked_maps.py), which is for inference alone.
        """
        feats = self.pooled(self.stem(images_NCHW, blocks=blocks))
        maps = []
        for stage in (self.stage2, self.stage3, self.stage4):
            feats = stage(feats)
            maps.append(feats)
        return maps

    def pooled(self, feats: jt.Var) -> jt.Var:
        """The stem's map after max pooling; `unidet trace` reads it."""
        return max_pool(feats)

    def _initialize(self) -> None:
        """Lines 187-207: standard deviation 1 / inputs per group, so 1 for depthwise filters."""
        for convolution in convolutions(self):
            jt.init.gauss_(convolution.weight, 0.0, 1.0 / convolution.weight.shape[1])
        for child in self.modules():
            if isinstance(child, BatchNorm2d):
                jt.init.constant_(child.bias, 1e-4)
