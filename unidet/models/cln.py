"""The class-agnostic localization network (CLN): OLN's two stages plus a class branch.

N images, A anchors, R regions, P proposals. Boxes are xyxy in the resized frame, in pixels.

Sources: UniDetector (arXiv 2303.11749) 3.2 and its stage-1 configuration; models/dense_heads/
oln_rpn_head.py, models/roi_heads/oln_roi_head.py, bbox_heads/convfc_bbox_score_head.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.box_head import BACKGROUND, OBJECT, BoxHead, BoxOutput, join
from unidet.models.cln_targets import (
    AnchorSampler,
    AnchorTargets,
    DenseAnchors,
    RegionSamples,
    SampledAnchors,
    concatenate,
    sample_regions,
)
from unidet.models.rpn_head import RPNHead, RPNOutput
from unidet.ops import losses
from unidet.ops.boxes import elementwise_iou
from unidet.ops.coders import decode_deltas, decode_tblr, encode_deltas
from unidet.ops.loss_term import Losses, LossTerm, tally
from unidet.ops.nms import nms
from unidet.ops.rois import by_image, rois_of
from unidet.ops.sampling import RandomSource, for_image
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import CLNConfig

REGIONS_PER_PASS = 1024
"""Regions the box head takes at a time in inference; bounds memory, changes no result."""


class CLN(nn.Module):
    """Proposals that know no class, scored by class^alpha * (objectness * IoU)^(1 - alpha).

    `backbone`, `neck`, `rpn_head`, `box_head` are the parts; their strides and channels must fit.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        rpn_head: RPNHead,
        box_head: BoxHead,
        settings: CLNConfig,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.rpn_head = rpn_head
        self.box_head = box_head
        self.settings = settings
        self.box_loss = losses.giou_loss if settings.box_loss == "giou" else losses.iou_loss
        self.anchor_sampler: AnchorSampler = (
            DenseAnchors(settings.objectness_iou, settings.minimum_iou)
            if settings.objectness == "iou"
            else SampledAnchors(
                settings.box_iou,
                settings.objectness_iou,
                settings.minimum_iou,
                settings.rpn_samples,
                skip_border_boxes=settings.compat == "official",
            )
        )

    def pyramid(self, images_NCHW: jt.Var) -> list[jt.Var]:
        """Pyramid levels (N, C, H, W), finest first."""
        return self.neck(self.backbone(images_NCHW))

    def loss(self, batch: Batch, rng: RandomSource) -> Losses:
        """Losses of one training batch, and under "positives" the anchors that learn a box."""
        self.backbone.set_batch_norm_training(self.settings.batch_norm_training)
        feats = self.pyramid(jt.array(batch.images_NCHW))
        output = self.rpn_head(feats)
        targets = self.anchor_targets(output.anchors_A4, batch, rng)
        rpn_losses = self.rpn_losses(output, targets)
        proposals = self.first_stage(output, batch.sizes_N2)
        samples = self.region_samples(proposals, batch.boxes, rng)
        box_losses = self.box_losses(self.box_head(feats, samples.rois), samples)
        return {**rpn_losses, **box_losses, "positives": tally(len(targets.boxes))}

    def anchor_targets(self, anchors: np.ndarray, batch: Batch, rng: RandomSource) -> AnchorTargets:
        """What the anchors of every image learn."""
        images = zip(batch.boxes, batch.sizes_N2, strict=True)
        return concatenate(
            [
                self.anchor_sampler(row, anchors, boxes, (size[0], size[1]), for_image(rng, row))
                for row, (boxes, size) in enumerate(images)
            ]
        )

    def rpn_losses(self, output: RPNOutput, targets: AnchorTargets) -> Losses:
        """`loss_rpn_bbox` and `loss_rpn_obj` over all levels and images, divided by the samples of
        the box sampler."""
        samples = float(targets.box_samples.sum())
        predicted = output.decoded(targets.box_images, targets.box_anchors)
        box = self.box_loss(predicted, targets.boxes)
        logits = output.objectness_at(targets.objectness_images, targets.objectness_anchors)
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

    def first_stage(self, output: RPNOutput, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals (P, 5) of every image, clipped to it, column 4 = sigmoid(objectness).

        Per level the best `proposals_per_level`; with `proposal_nms` those that NMS keeps, best
        first, otherwise levels one after another in no particular order.
        """
        scores_NA = jt.sigmoid(output.objectness_NA).numpy()
        best_NK = np.stack([self._best_per_level(row, output.level_counts) for row in scores_NA])
        distances = np.take_along_axis(output.distances_NA4.numpy(), best_NK[..., None], axis=1)
        boxes = decode_tblr(
            output.anchors_A4[best_NK.ravel()],
            jt.array(distances.reshape(-1, 4)),
            max_shape=np.repeat(sizes_N2, best_NK.shape[1], axis=0),
        )
        boxes_NK4 = boxes.numpy().reshape(*best_NK.shape, 4)
        scores_NK1 = np.take_along_axis(scores_NA, best_NK, axis=1)[..., None]
        return [self._selected(row) for row in np.concatenate([boxes_NK4, scores_NK1], axis=2)]

    def _best_per_level(self, scores: np.ndarray, level_counts: tuple[int, ...]) -> np.ndarray:
        best, start = [], 0
        for count in level_counts:
            rows = np.arange(count)
            if count > self.settings.proposals_per_level:
                order = np.argsort(-scores[start : start + count], kind="stable")
                rows = order[: self.settings.proposals_per_level]
            best.append(rows + start)
            start += count
        return np.concatenate(best)

    def _selected(self, rows_P5: np.ndarray) -> np.ndarray:
        if self.settings.proposal_nms:
            rows_P5 = rows_P5[_nms_rows(rows_P5, self.settings.proposal_nms)]
        elif self.settings.max_rois:
            rows_P5 = rows_P5[np.argsort(-rows_P5[:, 4], kind="stable")]
        return rows_P5[: self.settings.max_rois] if self.settings.max_rois else rows_P5

    def region_samples(
        self, proposals: list[np.ndarray], boxes: list[np.ndarray], rng: RandomSource
    ) -> RegionSamples:
        """The regions the box head learns from, ground truth among them."""
        return concatenate(
            [
                sample_regions(
                    row,
                    regions,
                    truth,
                    iou=self.settings.roi_iou,
                    count=self.settings.roi_samples,
                    positive_fraction=self.settings.positive_fraction,
                    rng=for_image(rng, row),
                )
                for row, (regions, truth) in enumerate(zip(proposals, boxes, strict=True))
            ]
        )

    def box_losses(self, output: BoxOutput, samples: RegionSamples) -> Losses:
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

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of every image, (P, 5) float32 xyxy + score, best first.

        `images_NCHW` normalized and padded, `sizes_N2` (height, width) before padding.
        """
        self.backbone.set_batch_norm_training(False)
        with jt.no_grad():
            feats = self.pyramid(images_NCHW)
            proposals = self.first_stage(self.rpn_head(feats), sizes_N2)
            refined = self.refined(proposals, self.second_stage(feats, proposals), sizes_N2)
            return [self.suppressed(rows) for rows in refined]

    def second_stage(self, feats: list[jt.Var], proposals: list[np.ndarray]) -> BoxOutput:
        """The box head on the proposals of all images, some at a time; no gradient."""
        rois = rois_of(proposals)
        starts = range(0, len(rois), REGIONS_PER_PASS)
        return join(self.box_head(feats, rois[at : at + REGIONS_PER_PASS]) for at in starts)

    def refined(
        self, proposals: list[np.ndarray], output: BoxOutput, sizes_N2: np.ndarray
    ) -> list[np.ndarray]:
        """Each image's proposals (P, 5) moved as the box head says, clipped to the image's size,
        with the final score."""
        rows_R5 = np.concatenate(proposals)
        limits = np.repeat(sizes_N2, [len(rows) for rows in proposals], axis=0)
        boxes = decode_deltas(rows_R5[:, :4], output.deltas_R4, max_shape=limits)
        classes = nn.softmax(output.class_logits_R2, dim=1)[:, OBJECT]
        place = jt.array(rows_R5[:, 4]) * jt.sigmoid(output.iou_logits_R)
        scores = classes**self.settings.alpha * place ** (1 - self.settings.alpha)
        moved = jt.concat([boxes, scores.unsqueeze(1)], dim=1).numpy()
        return by_image(moved, proposals)

    def suppressed(self, refined_P5: np.ndarray) -> np.ndarray:
        """The best `max_proposals` after NMS, best first; a score of 0 is no proposal."""
        scored = refined_P5[refined_P5[:, 4] > 0]
        return scored[_nms_rows(scored, self.settings.final_nms)[: self.settings.max_proposals]]


def _nms_rows(rows_P5: np.ndarray, iou: float) -> np.ndarray:
    """Rows that NMS keeps, best first."""
    return nms(jt.array(rows_P5[:, :4]), jt.array(rows_P5[:, 4]), iou).numpy()
