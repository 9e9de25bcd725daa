"""Feature pyramid network (Lin et al., arXiv 1612.03144) as mmdet 2.18 builds it, necks/fpn.py.

N images, C channels, H and W cells of a level.
"""

from __future__ import annotations

import jittor as jt
from jittor import nn

from unidet.models.layers import convolve_bias
from unidet.ops.blocked_pools import resize_nearest


class FPN(nn.Module):
    """Lateral 1x1 and smoothing 3x3 convolutions with bias, no norm; finest level first.

    Args:
        in_channels: channels of each backbone map, finest first, each half the size of the last.
        channels: of every output.
        levels: number of outputs; those beyond the backbone's maps take every second cell of
            the level before (mmdet: max pool, kernel 1, stride 2).
    """

    def __init__(self, in_channels: tuple[int, ...], channels: int, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.lateral_convs = nn.Sequential(*(nn.Conv(count, channels, 1) for count in in_channels))
        self.fpn_convs = nn.Sequential(
            *(nn.Conv(channels, channels, 3, padding=1) for _ in in_channels)
        )
        for convolution in [*self.lateral_convs, *self.fpn_convs]:
            jt.init.xavier_uniform_(convolution.weight)
            jt.init.constant_(convolution.bias, 0.0)

    def execute(self, feats: list[jt.Var]) -> list[jt.Var]:
        """Backbone maps (N, C_i, H_i, W_i) to `levels` maps (N, channels, H, W).

        The results are blocked if the inputs are.
        """
        merged: list[jt.Var] = []
        for lateral, level in reversed(list(zip(self.lateral_convs, feats, strict=True))):
            coarser = resize_nearest(merged[0], tuple(level.shape[2:4])) if merged else None
            merged.insert(0, convolve_bias(level, lateral, residual=coarser))
        pairs = zip(merged, self.fpn_convs, strict=True)
        outputs = [convolve_bias(level, smooth) for level, smooth in pairs]
        while len(outputs) < self.levels:
            outputs.append(outputs[-1][:, :, ::2, ::2])
        return outputs
