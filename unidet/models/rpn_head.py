"""OLN's region proposal head: a box and an objectness for every anchor, no classes.

N images, A anchors over all levels, C channels, H and W cells of a level.

Sources: Kim et al., arXiv 2108.06753; UniDetector models/dense_heads/oln_rpn_head.py 60-88.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.layers import flat_cells
from unidet.ops.anchors import grid_anchors
from unidet.ops.coders import decode_tblr
from unidet.ops.vectors import l2_normalize

if TYPE_CHECKING:
    from unidet.config.networks import CLNConfig


@dataclass
class RPNOutput:
    """What the head says about one batch; rows of all levels one after another, finest first.

    Attributes:
        distances_NA4: top, bottom, left, right from the anchor's centre, in anchor sides.
        objectness_NA: logits.
        anchors_A4: xyxy, pixels of the padded batch.
        level_counts: anchors of each level.
        unused: a number of value 0 through which the official head's dead classifier stays in the
            graph; None without one.
    """

    distances_NA4: jt.Var
    objectness_NA: jt.Var
    anchors_A4: np.ndarray
    level_counts: tuple[int, ...]
    unused: jt.Var | None

    def decoded(self, images: np.ndarray, anchors: np.ndarray) -> jt.Var:
        """Boxes (K, 4) predicted by anchor row `anchors[k]` in image row `images[k]`, unclipped."""
        flat = jt.array((images * len(self.anchors_A4) + anchors).astype(np.int32))
        distances = self.distances_NA4.reshape((-1, 4))[flat]
        return decode_tblr(self.anchors_A4[anchors], distances)

    def objectness_at(self, images: np.ndarray, anchors: np.ndarray) -> jt.Var:
        """Objectness logits (K,) of the same rows."""
        flat = jt.array((images * len(self.anchors_A4) + anchors).astype(np.int32))
        return self.objectness_NA.reshape((-1,))[flat]


class RPNHead(nn.Module):
    """3x3 convolution, ReLU, unit length, then 1x1 convolutions; the same for every level.

    Args:
        settings: of these, `compat: official` holds the official head's `rpn_cls`, which is trained
            with weight 0 and never read (official checkpoints contain it), and starts the box
            branch at a point, from which an IoU loss hardly gets away; else every box starts as
            its anchor. Where all anchors learn objectness (`iou`), a small initial probability
            keeps the many negatives from ruling the first steps (arXiv 1708.02002, 3.3).
        strides: pixels per cell of each pyramid level.
    """

    def __init__(self, settings: CLNConfig, strides: tuple[int, ...]) -> None:
        super().__init__()
        channels, is_official = settings.channels, settings.compat == "official"
        self.strides = tuple(strides)
        self.anchor_scale = settings.anchor_scale
        self.rpn_conv = nn.Conv(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv(channels, 1, 1) if is_official else None
        self.rpn_reg = nn.Conv(channels, 4, 1)
        self.rpn_obj = nn.Conv(channels, 1, 1)
        convolutions = [self.rpn_conv, self.rpn_cls, self.rpn_reg, self.rpn_obj]
        for convolution in filter(None, convolutions):
            jt.init.gauss_(convolution.weight, 0.0, 0.01)
            jt.init.constant_(convolution.bias, 0.0)
        jt.init.constant_(self.rpn_reg.bias, 0.0 if is_official else 0.5)
        probability = 0.01 if settings.objectness == "iou" else 0.5
        jt.init.constant_(self.rpn_obj.bias, math.log(probability / (1 - probability)))

    def execute(self, feats: list[jt.Var]) -> RPNOutput:
        """Pyramid levels (N, C, H, W), finest first, to one `RPNOutput`."""
        hidden = [l2_normalize(nn.relu(self.rpn_conv(level)), 1) for level in feats]
        distances = jt.concat([flat_cells(self.rpn_reg(level)) for level in hidden], dim=1)
        objectness = jt.concat([flat_cells(self.rpn_obj(level)) for level in hidden], dim=1)
        unused = None
        if self.rpn_cls is not None:
            unused = sum(self.rpn_cls(level).sum() for level in hidden) * 0.0
        shapes = [tuple(level.shape[2:]) for level in feats]
        anchors = [
            grid_anchors(height, width, stride, self.anchor_scale)
            for (height, width), stride in zip(shapes, self.strides, strict=True)
        ]
        counts = tuple(len(level) for level in anchors)
        return RPNOutput(distances, objectness.squeeze(2), np.concatenate(anchors), counts, unused)
