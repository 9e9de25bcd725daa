"""RT-DETR's hybrid encoder: attention on the coarsest map, then a convolutional pyramid.

N images, C channels, T tokens. Source: Zhao et al., arXiv 2304.08069, 4.2; RT-DETR
src/zoo/rtdetr/hybrid_encoder.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.layers import convolve_normalize, flat_cells
from unidet.models.rtdetr.conv_blocks import ConvNorm, CSPRep
from unidet.models.transformer_layers import EncoderLayer
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import is_blocked, to_blocked, to_plain
from unidet.ops.blocked_pools import resize_nearest

HEADS = 8
REPVGG_BLOCKS = 3
TEMPERATURE = 10000.0


def position_table(height: int, width: int, channels: int) -> np.ndarray:
    """Sines and cosines (height * width, channels) of x, then of y, in cells.

    Tokens run row by row, but the official code gives token t the place x = t // height,
    y = t % height: a transposition on square maps, on others a scramble that its weights have
    learned. hybrid_encoder.py `build_2d_sincos_position_embedding`.
    """
    tokens = np.arange(height * width)
    quarter = channels // 4
    speeds = 1.0 / TEMPERATURE ** (np.arange(quarter, dtype=np.float32) / quarter)
    x, y = (place[:, None] * speeds[None] for place in (tokens // height, tokens % height))
    return np.concatenate([np.sin(x), np.cos(x), np.sin(y), np.cos(y)], axis=1).astype(np.float32)


class _Attention(nn.Module):
    """Intra-scale attention: a transformer encoder of one layer."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(EncoderLayer(width, HEADS, hidden, nn.gelu))

    def execute(self, tokens_NTW: jt.Var, positions_NTW: jt.Var) -> jt.Var:
        for layer in self.layers:
            tokens_NTW = layer(tokens_NTW, positions_NTW)
        return tokens_NTW


class HybridEncoder(nn.Module):
    """Maps at strides 8, 16 and 32 to as many of `width` channels.

    Args:
        in_channels: channels of the three maps, finest first.
        width: of the outputs.
        hidden: width of the attention's MLP.
        expansion: inner channels of the pyramid's blocks, in units of `width`.
    """

    def __init__(
        self, in_channels: Sequence[int], *, width: int, hidden: int, expansion: float
    ) -> None:
        super().__init__()
        steps = len(in_channels) - 1
        inner = int(width * expansion)
        self.input_proj = nn.Sequential(
            *(
                nn.Sequential(nn.Conv(count, width, 1, bias=False), BatchNorm2d(width))
                for count in in_channels
            )
        )
        self.encoder = nn.Sequential(_Attention(width, hidden))
        self.lateral_convs = nn.Sequential(*(ConvNorm(width, width, 1) for _ in range(steps)))
        self.fpn_blocks = nn.Sequential(
            *(CSPRep(2 * width, width, inner, REPVGG_BLOCKS) for _ in range(steps))
        )
        self.downsample_convs = nn.Sequential(
            *(ConvNorm(width, width, 3, stride=2) for _ in range(steps))
        )
        self.pan_blocks = nn.Sequential(
            *(CSPRep(2 * width, width, inner, REPVGG_BLOCKS) for _ in range(steps))
        )

    def execute(self, feats: Sequence[jt.Var]) -> list[jt.Var]:
        """Maps (N, C_i, H_i, W_i), finest first, each of half the sides of the one before, to maps
        (N, width, H_i, W_i), blocked if those are and the batch norms use running statistics."""
        pairs = zip(feats, self.input_proj, strict=True)
        levels = [convolve_normalize(level, *project) for level, project in pairs]
        levels[-1] = self.attended(levels[-1])
        return self.fused(levels)

    def attended(self, level_NCHW: jt.Var) -> jt.Var:
        """The coarsest map after attention among its cells."""
        if is_blocked(level_NCHW):
            return to_blocked(self.attended(to_plain(level_NCHW)))
        count, channels, height, width = level_NCHW.shape
        tokens = flat_cells(level_NCHW)
        positions = jt.array(position_table(height, width, channels))
        tokens = self.encoder[0](tokens, positions.unsqueeze(0).broadcast(tokens))
        return tokens.transpose(0, 2, 1).reshape(count, channels, height, width)

    def fused(self, levels: Sequence[jt.Var]) -> list[jt.Var]:
        """Coarse into fine, then fine into coarse."""
        inner = [levels[-1]]
        for step, fine in enumerate(reversed(levels[:-1])):
            inner[0] = self.lateral_convs[step](inner[0])
            upsampled = resize_nearest(inner[0], tuple(fine.shape[2:4]))
            inner.insert(0, self.fpn_blocks[step](jt.concat([upsampled, fine], dim=1)))
        outputs = [inner[0]]
        for step, coarse in enumerate(inner[1:]):
            reduced = self.downsample_convs[step](outputs[-1])
            outputs.append(self.pan_blocks[step](jt.concat([reduced, coarse], dim=1)))
        return outputs
