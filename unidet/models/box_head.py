"""OLN's RoI head with a class branch: object or not, a refined box, and how well the RoI fits.

R regions, C channels, S cells of a pooled side, L pyramid levels in use.

Sources: UniDetector models/roi_heads/bbox_heads/convfc_bbox_score_head.py 63-87 and mmdet 2.18
roi_extractors/single_level_roi_extractor.py 36-55.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.ops.roi_align import roi_align

if TYPE_CHECKING:
    from unidet.config.networks import CLNConfig

OBJECT = 0
BACKGROUND = 1


@dataclass
class BoxOutput:
    """Per region: logits of (object, background), box offsets, logit of the IoU."""

    class_logits_R2: jt.Var
    deltas_R4: jt.Var
    iou_logits_R: jt.Var


def join(parts: Iterable[BoxOutput]) -> BoxOutput:
    """The regions of several passes one after another, each pass computed before the next."""
    computed = [
        [part.class_logits_R2.numpy(), part.deltas_R4.numpy(), part.iou_logits_R.numpy()]
        for part in parts
    ]
    return BoxOutput(*(jt.array(np.concatenate(column)) for column in zip(*computed, strict=True)))


def pyramid_level(rois_R5: np.ndarray, finest_scale: float, levels: int) -> np.ndarray:
    """(R,) level of each region: 0 below 2 x `finest_scale` pixels, one more per doubling."""
    sides = np.maximum(rois_R5[:, 3:] - rois_R5[:, 1:3], 0)
    scale = np.sqrt(sides[:, 0] * sides[:, 1])
    level = np.floor(np.log2(scale / np.float32(finest_scale) + np.float32(1e-6)))
    return np.clip(level, 0, levels - 1).astype(np.int64)


class BoxHead(nn.Module):
    """RoIAlign on the level that fits a region's size, two hidden layers, three linear outputs.

    Args:
        settings: of these, S is `pool_size`.
        strides: pixels per cell of the L finest levels, the ones regions are pooled from.
    """

    def __init__(self, settings: CLNConfig, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.pool_size = settings.pool_size
        self.strides = tuple(strides)
        self.finest_scale = settings.finest_scale
        hidden = settings.hidden
        self.shared_fcs = nn.Sequential(
            nn.Linear(settings.channels * settings.pool_size**2, hidden),
            nn.Linear(hidden, hidden),
        )
        self.fc_cls = nn.Linear(hidden, 2)
        self.fc_reg = nn.Linear(hidden, 4)
        self.fc_bbox_score = nn.Linear(hidden, 1)
        self._initialize()

    def _initialize(self) -> None:
        for layer in self.shared_fcs:
            jt.init.xavier_uniform_(layer.weight)
            jt.init.constant_(layer.bias, 0.0)
        for layer, deviation in ((self.fc_cls, 0.01), (self.fc_reg, 0.001)):
            jt.init.gauss_(layer.weight, 0.0, deviation)
            jt.init.constant_(layer.bias, 0.0)
        jt.init.gauss_(self.fc_bbox_score.weight, 0.0, 0.01)
        jt.init.constant_(self.fc_bbox_score.bias, 0.0)

    def pooled(self, feats: list[jt.Var], rois_R5: np.ndarray) -> jt.Var:
        """(R, C, S, S) features of the regions, each from its own level."""
        level = pyramid_level(rois_R5, self.finest_scale, len(self.strides))
        order = np.argsort(level, kind="stable")
        parts = [
            roi_align(feats[index], jt.array(rois_R5[level == index]), self.pool_size, 1 / stride)
            for index, stride in enumerate(self.strides)
            if (level == index).any()
        ]
        if len(parts) == 1:
            return parts[0]
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return jt.concat(parts, dim=0)[jt.array(place.astype(np.int32))]

    def execute(self, feats: list[jt.Var], rois_R5: np.ndarray) -> BoxOutput:
        """Outputs for rois (image row, x1, y1, x2, y2), R >= 1, on pyramid levels, finest first."""
        hidden = self.pooled(feats, rois_R5).reshape((len(rois_R5), -1))
        for layer in self.shared_fcs:
            hidden = nn.relu(layer(hidden))
        scores = self.fc_bbox_score(hidden).squeeze(1)
        return BoxOutput(self.fc_cls(hidden), self.fc_reg(hidden), scores)
