"""OLN's RoI stage with a class branch: object or background, a refined box, and the RoI's IoU.

R: regions, P: proposals, C: channels, S: side of the pooled features, L: pyramid levels in use.

Sources: UniDetector models/roi_heads/oln_roi_head.py, bbox_heads/convfc_bbox_score_head.py and
mmdet 2.18 roi_extractors/single_level_roi_extractor.py 36-55.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.region_samples import RegionSamples, sample_regions
from unidet.models.sampled_rows import concatenate
from unidet.ops import losses
from unidet.ops.boxes import elementwise_iou
from unidet.ops.coders import decode_deltas, encode_deltas
from unidet.ops.finite import require_finite
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.nms import nms
from unidet.ops.roi_align import roi_align
from unidet.ops.rois import rois_of, split_by_image
from unidet.ops.sampling import RandomSource, image_rng

if TYPE_CHECKING:
    from unidet.config.networks import LocalizationConfig

OBJECT = 0
BACKGROUND = 1
REGIONS_PER_PASS = 1024
"""Most regions per pass of the head in inference; it limits memory and changes no result."""


@dataclass
class BoxOutput:
    """Per region: logits of (object, background), box offsets, logit of the IoU."""

    class_logits_R2: jt.Var
    deltas_R4: jt.Var
    iou_logits_R: jt.Var


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

    def __init__(self, settings: LocalizationConfig, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.settings = settings
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
        """Features (R, C, S, S) of the regions, each from the pyramid level for its size."""
        level = self.levels_of(rois_R5)
        parts = [
            roi_align(feats[index], jt.array(rois_R5[level == index]), self.pool_size, 1 / stride)
            for index, stride in enumerate(self.strides)
            if (level == index).any()
        ]
        joined = parts[0] if len(parts) == 1 else jt.concat(parts, dim=0)
        if (np.diff(level) >= 0).all():
            return joined
        place = np.argsort(np.argsort(level, kind="stable"))
        return joined[jt.array(place.astype(np.int32))]

    def levels_of(self, rois_R5: np.ndarray) -> np.ndarray:
        """(R,) index into `strides` of the level that each region is pooled from."""
        return pyramid_level(rois_R5, self.finest_scale, len(self.strides))

    def execute(self, feats: list[jt.Var], rois_R5: np.ndarray) -> BoxOutput:
        """Outputs for rois (image row, x1, y1, x2, y2), R >= 1, on pyramid levels, finest first."""
        hidden = self.pooled(feats, rois_R5).reshape((len(rois_R5), -1))
        for layer in self.shared_fcs:
            hidden = nn.relu(layer(hidden))
        scores = self.fc_bbox_score(hidden).squeeze(1)
        return BoxOutput(self.fc_cls(hidden), self.fc_reg(hidden), scores)

    def in_passes(self, feats: list[jt.Var], proposals: list[np.ndarray]) -> BoxOutput:
        """Outputs for the proposals (P, 4+) of all images, in several passes, without gradients."""
        rois = rois_of(proposals)
        columns = [np.empty((len(rois), *sides), np.float32) for sides in ((2,), (4,), ())]
        # By level, so that pooled features need no reordering, and from top to bottom, so that
        # neighbouring regions find the cells they share in the processor's cache.
        order = np.lexsort((rois[:, 2], self.levels_of(rois)))
        for start in range(0, len(rois), REGIONS_PER_PASS):
            rows = order[start : start + REGIONS_PER_PASS]
            part = self(feats, rois[rows])
            values = (part.class_logits_R2, part.deltas_R4, part.iou_logits_R)
            for column, value in zip(columns, values, strict=True):
                column[rows] = value.numpy()
        return BoxOutput(*(jt.array(column) for column in columns))

    def sample(
        self, proposals: list[np.ndarray], boxes: list[np.ndarray], rng: RandomSource
    ) -> RegionSamples:
        """Sampled training regions, including ground-truth boxes."""
        return concatenate(
            [
                sample_regions(
                    row,
                    regions,
                    truth,
                    iou=self.settings.roi_iou,
                    count=self.settings.roi_samples,
                    positive_fraction=self.settings.positive_fraction,
                    rng=image_rng(rng, row),
                )
                for row, (regions, truth) in enumerate(zip(proposals, boxes, strict=True))
            ]
        )

    def losses(self, output: BoxOutput, samples: RegionSamples) -> Losses:
        """`loss_cls`, `loss_bbox`, `loss_bbox_score`, divided by the number of regions."""
        count = float(len(samples.rois))
        labels = np.where(samples.positive, OBJECT, BACKGROUND)
        rows = jt.array(np.flatnonzero(samples.positive).astype(np.int32))
        regions = samples.rois[samples.positive, 1:]
        truth = samples.boxes[samples.positive]
        deltas = output.deltas_R4[rows]
        fits = jt.sigmoid(output.iou_logits_R[rows])
        sums = {
            "loss_cls": losses.cross_entropy(output.class_logits_R2, labels),
            "loss_bbox": losses.l1_loss(deltas, encode_deltas(regions, truth)),
            "loss_bbox_score": losses.l1_loss(fits, elementwise_iou(regions, truth)),
        }
        return {name: LossTerm(value, count) for name, value in sums.items()}

    def refined(
        self, proposals: list[np.ndarray], output: BoxOutput, sizes_N2: np.ndarray
    ) -> list[np.ndarray]:
        """Proposals (P, 5) of each image with refined boxes, clipped to the image, and scores."""
        rows_R5 = np.concatenate(proposals)
        limits = np.repeat(sizes_N2, [len(rows) for rows in proposals], axis=0)
        boxes = decode_deltas(rows_R5[:, :4], output.deltas_R4, max_shape=limits)
        classes = nn.softmax(output.class_logits_R2, dim=1)[:, OBJECT]
        place = jt.array(rows_R5[:, 4]) * jt.sigmoid(output.iou_logits_R)
        scores = classes**self.settings.alpha * place ** (1 - self.settings.alpha)
        moved = require_finite(jt.concat([boxes, scores.unsqueeze(1)], dim=1).numpy())
        return split_by_image(moved, proposals)

    def suppressed(self, refined_P5: np.ndarray) -> np.ndarray:
        """At most `max_proposals` boxes after score threshold and NMS, by descending score."""
        scored = refined_P5[refined_P5[:, 4] > self.settings.score_threshold]
        kept = nms(scored[:, :4], scored[:, 4], self.settings.final_nms)
        return scored[kept[: self.settings.max_proposals]]
