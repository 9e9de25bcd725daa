"""The region proposal network of Faster R-CNN: objectness and a box per anchor.

N: images, A: anchors of all levels, C: channels, K: sampled anchors, P: proposals. Boxes are xyxy
in pixels of the resized image.

Sources: Ren et al., arXiv 1506.01497; mmdet 2.18 dense_heads/rpn_head.py, anchor_head.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.dense_output import DenseOutput, anchors_of, best_of_levels
from unidet.models.layers import convolve_bias, flat_cells
from unidet.models.rpn_targets import RPNTargets, sample_anchors
from unidet.models.sampled_rows import concatenate
from unidet.ops import losses
from unidet.ops.coders import decode_deltas, encode_deltas
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.nms import class_wise_nms
from unidet.ops.sampling import RandomSource, image_rng
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import RPNConfig, RPNHeadConfig

STDS = (1.0, 1.0, 1.0, 1.0)
"""Deltas are not scaled."""


class RPNHead(nn.Module):
    """3 x 3 convolution, ReLU, then 1 x 1 convolutions, shared by all levels.

    Args:
        settings: each cell has one anchor for each pair of a ratio and a scale.
        strides: pixels per cell of each pyramid level.
    """

    def __init__(self, settings: RPNConfig | RPNHeadConfig, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.settings, self.strides = settings, tuple(strides)
        channels = settings.channels
        anchors = len(settings.anchor_scales) * len(settings.anchor_ratios)
        self.rpn_conv = nn.Conv(channels, channels, 3, padding=1)
        self.rpn_cls = nn.Conv(channels, anchors, 1)
        self.rpn_reg = nn.Conv(channels, 4 * anchors, 1)
        for convolution in (self.rpn_conv, self.rpn_cls, self.rpn_reg):
            jt.init.gauss_(convolution.weight, 0.0, 0.01)
            jt.init.constant_(convolution.bias, 0.0)

    def execute(self, feats: list[jt.Var]) -> DenseOutput:
        """Pyramid levels (N, C, H, W), finest first; offsets are (dx, dy, dw, dh)."""
        hidden = [convolve_bias(level, self.rpn_conv, clamp=True) for level in feats]
        deltas = jt.concat([flat_cells(convolve_bias(x, self.rpn_reg)) for x in hidden], dim=1)
        logits = jt.concat([flat_cells(convolve_bias(x, self.rpn_cls)) for x in hidden], dim=1)
        images = feats[0].shape[0]
        settings = self.settings
        return DenseOutput(
            deltas.reshape((images, -1, 4)),
            logits.reshape((images, -1)),
            *anchors_of(feats, self.strides, settings.anchor_scales, settings.anchor_ratios),
        )

    def targets(self, anchors_A4: np.ndarray, batch: Batch, rng: RandomSource) -> RPNTargets:
        """Training targets of the sampled anchors of all images."""
        images = zip(batch.boxes, batch.sizes_N2, strict=True)
        return concatenate(
            [
                sample_anchors(
                    row,
                    anchors_A4,
                    boxes,
                    (size[0], size[1]),
                    iou=self.settings.anchor_iou,
                    minimum_iou=self.settings.minimum_iou,
                    count=self.settings.rpn_samples,
                    rng=image_rng(rng, row),
                )
                for row, (boxes, size) in enumerate(images)
            ]
        )

    def losses(self, output: DenseOutput, targets: RPNTargets) -> Losses:
        """`loss_rpn_cls` and `loss_rpn_bbox`, both divided by the number of sampled anchors."""
        count = float(targets.counts.sum())
        logits = output.logits_at(targets.images, targets.anchors)
        learns = targets.positive
        anchors = targets.anchors[learns]
        deltas = output.offsets_at(targets.images[learns], anchors)
        wanted = encode_deltas(output.anchors_A4[anchors], targets.boxes[learns], STDS)
        classes = losses.binary_cross_entropy(logits, learns.astype(np.float32))
        return {
            "loss_rpn_cls": LossTerm(classes, count),
            "loss_rpn_bbox": LossTerm(losses.l1_loss(deltas, wanted), count),
        }

    def proposals(
        self, output: DenseOutput, sizes_N2: np.ndarray, limits: tuple[int, int] | None = None
    ) -> list[np.ndarray]:
        """Proposals (P, 5) of each image, clipped, by descending score; column 4 is sigmoid(logit).

        They are the best `proposals_per_level` of each level, without degenerate boxes, after NMS
        within each level; at most `max_rois`, unless that is 0. `limits` replaces these two
        settings.
        """
        settings = self.settings
        per_level, at_most = limits or (settings.proposals_per_level, settings.max_rois)
        decode = partial(decode_deltas, stds=STDS)
        rows_NK5 = best_of_levels(output, per_level, decode, sizes_N2)
        kept = [min(count, per_level) for count in output.level_counts]
        levels_K = np.repeat(np.arange(len(kept)), kept)
        return [self._selected(rows, levels_K)[: at_most or None] for rows in rows_NK5]

    def _selected(self, rows_K5: np.ndarray, levels_K: np.ndarray) -> np.ndarray:
        has_area = (rows_K5[:, 2:4] > rows_K5[:, :2]).all(axis=1)
        rows, levels = rows_K5[has_area], levels_K[has_area]
        kept = class_wise_nms(rows[:, :4], rows[:, 4], levels, self.settings.proposal_nms)
        return rows[kept]
