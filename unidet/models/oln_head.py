"""OLN's region proposal head: a box and an objectness score per anchor, without classes.

N: images, A: anchors of all levels, C: channels, H, W: cells of a level, K: sampled anchors,
P: proposals. Boxes are xyxy in pixels of the resized image.

Sources: Kim et al., arXiv 2108.06753; UniDetector models/dense_heads/oln_rpn_head.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.dense_output import DenseOutput, anchors_of, best_of_levels
from unidet.models.layers import convolve_bias, flat_cells
from unidet.models.oln_targets import AnchorSampler, AnchorTargets, DenseAnchors, SampledAnchors
from unidet.models.sampled_rows import concatenate
from unidet.ops import losses
from unidet.ops.blocked_maps import channel_dims
from unidet.ops.boxes import elementwise_iou
from unidet.ops.coders import decode_tblr
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.nms import nms
from unidet.ops.sampling import RandomSource, image_rng
from unidet.ops.vectors import l2_normalize
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import CLNConfig


@dataclass
class OLNOutput(DenseOutput):
    """Offsets are distances top, bottom, left, right from the anchor's centre, in anchor sides.

    Attributes:
        unused: 0, with a gradient to the unused classifier of the official head; None without it.
    """

    unused: jt.Var | None

    def decoded(self, images: np.ndarray, anchors: np.ndarray) -> jt.Var:
        """Boxes (K, 4) predicted by anchor `anchors[k]` in image `images[k]`, not clipped."""
        return decode_tblr(self.anchors_A4[anchors], self.offsets_at(images, anchors))


class OLNHead(nn.Module):
    """3 x 3 convolution, ReLU, L2 normalization, then 1 x 1 convolutions, shared by all levels.

    Args:
        settings: `compat: official` adds the official head's `rpn_cls`, which has loss weight 0 and
            is never used (official checkpoints contain it), and initializes boxes as points, for
            which an IoU loss has nearly no gradient; otherwise boxes start as their anchors. If all
            anchors have objectness targets (`iou`), a small initial probability keeps the many
            negatives from dominating the first steps (arXiv 1708.02002, 3.3).
        strides: pixels per cell of each pyramid level.
    """

    def __init__(self, settings: CLNConfig, strides: tuple[int, ...]) -> None:
        super().__init__()
        self.settings, self.strides = settings, tuple(strides)
        channels, is_official = settings.channels, settings.compat == "official"
        self.box_loss = losses.giou_loss if settings.box_loss == "giou" else losses.iou_loss
        self.anchor_sampler = _sampler(settings)
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

    def execute(self, feats: list[jt.Var]) -> OLNOutput:
        """Outputs for pyramid levels (N, C, H, W), finest first."""
        hidden = [self._hidden(level) for level in feats]
        distances = jt.concat([flat_cells(convolve_bias(x, self.rpn_reg)) for x in hidden], dim=1)
        objectness = jt.concat([flat_cells(convolve_bias(x, self.rpn_obj)) for x in hidden], dim=1)
        unused = None
        if self.rpn_cls is not None:
            unused = sum(convolve_bias(level, self.rpn_cls).sum() for level in hidden) * 0.0
        anchors, counts = anchors_of(feats, self.strides, [self.settings.anchor_scale])
        return OLNOutput(distances, objectness.squeeze(2), anchors, counts, unused)

    def _hidden(self, level: jt.Var) -> jt.Var:
        return l2_normalize(convolve_bias(level, self.rpn_conv, clamp=True), channel_dims(level))

    def targets(self, anchors_A4: np.ndarray, batch: Batch, rng: RandomSource) -> AnchorTargets:
        """Training targets of the anchors of all images."""
        images = zip(batch.boxes, batch.sizes_N2, strict=True)
        return concatenate(
            [
                self.anchor_sampler(row, anchors_A4, boxes, (size[0], size[1]), image_rng(rng, row))
                for row, (boxes, size) in enumerate(images)
            ]
        )

    def losses(self, output: OLNOutput, targets: AnchorTargets) -> Losses:
        """`loss_rpn_bbox` and `loss_rpn_obj`, divided by the box sampler's samples."""
        samples = float(targets.box_samples.sum())
        predicted = output.decoded(targets.box_images, targets.box_anchors)
        box = self.box_loss(predicted, targets.boxes)
        logits = output.logits_at(targets.objectness_images, targets.objectness_anchors)
        if self.settings.objectness == "iou":
            positives = len(targets.boxes)
            qualities = np.zeros(len(targets.objectness), np.float32)
            if positives:
                reached = elementwise_iou(predicted.detach(), targets.boxes).numpy()
                qualities[targets.objectness > 0] = reached
            objectness = losses.quality_focal_loss(logits, qualities)
        else:
            objectness = losses.l1_loss(jt.sigmoid(logits), targets.objectness)
        if output.unused is not None:
            objectness = objectness + output.unused
        return {
            "loss_rpn_bbox": LossTerm(box, samples, self.settings.box_loss_weight),
            "loss_rpn_obj": LossTerm(objectness, samples),
        }

    def proposals(self, output: OLNOutput, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals (P, 5) of each image, clipped to it; column 4 is sigmoid(objectness).

        These are the best `proposals_per_level` of each level. With `proposal_nms` they are the
        boxes kept by NMS, by descending score; otherwise they are level after level, not sorted.
        """
        per_level = self.settings.proposals_per_level
        rows_NK5 = best_of_levels(output, per_level, decode_tblr, sizes_N2)
        return [self._selected(rows) for rows in rows_NK5]

    def _selected(self, rows_P5: np.ndarray) -> np.ndarray:
        limit = self.settings.max_rois
        if self.settings.proposal_nms:
            rows_P5 = rows_P5[nms(rows_P5[:, :4], rows_P5[:, 4], self.settings.proposal_nms)]
        elif limit:
            rows_P5 = rows_P5[np.argsort(-rows_P5[:, 4], kind="stable")]
        return rows_P5[:limit] if limit else rows_P5


def _sampler(settings: CLNConfig) -> AnchorSampler:
    if settings.objectness == "iou":
        return DenseAnchors(settings.objectness_iou, settings.minimum_iou)
    return SampledAnchors(
        settings.box_iou,
        settings.objectness_iou,
        settings.minimum_iou,
        settings.rpn_samples,
        skip_border_boxes=settings.compat == "official",
    )
