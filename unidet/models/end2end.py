"""UniDetector in one piece: a region proposal network and the RoI network on one map.

N images, P proposals of an image, R regions, D length of an embedding. Boxes are xyxy in pixels of
the network's input.

Source: UniDetector configs/singledataset/clip_end2end_faster_rcnn_r50_c4_1x_coco.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.roi_classifier import RoiClassifier, decoded
from unidet.models.rpn_head import RPNHead
from unidet.ops.loss_term import Losses
from unidet.ops.rois import by_image, rois_of
from unidet.ops.sampling import BatchRandom
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import RPNHeadConfig


class EndToEnd(nn.Module):
    """Proposals of `rpn_head` on the map of `regions`, whose heads then name and move them.

    Both learn at once, from one batch.

    Args:
        regions: with `set_vocabularies`.
        rpn_head: on a single level, of the map's stride.
        settings: those of `rpn_head`.
    """

    def __init__(self, regions: RoiClassifier, rpn_head: RPNHead, settings: RPNHeadConfig) -> None:
        super().__init__()
        self.regions = regions
        self.rpn_head = rpn_head
        self.settings = settings

    def loss(self, batch: Batch, rng: BatchRandom | np.random.Generator) -> Losses:
        """`loss_rpn_cls`, `loss_rpn_bbox`, and what the RoI network's `loss` has."""
        feats = self.regions.features(jt.array(batch.images_NCHW))
        output = self.rpn_head([feats])
        targets = self.rpn_head.targets(output.anchors_A4, batch, rng)
        rpn_losses = self.rpn_head.losses(output, targets)
        proposals = self.rpn_head.proposals(output, batch.sizes_N2)
        drawn = self.regions.sample(replace(batch, proposals=proposals), rng)
        heads = self.regions.heads(feats, drawn.samples.rois_R5)
        return {**rpn_losses, **self.regions.losses(*heads, drawn.samples, drawn.classes)}

    def detect_regions(
        self, images_NCHW: jt.Var, sizes_N2: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Per image its proposals (P, 5) with scores, best first, their refined boxes (P, 4),
        clipped to the image's (height, width), and normalized embeddings (P, D)."""
        limits = (self.settings.test_proposals_per_level, self.settings.test_max_rois)
        with jt.no_grad():
            feats = self.regions.features(images_NCHW)
            proposals = self.rpn_head.proposals(self.rpn_head([feats]), sizes_N2, limits)
            rois = rois_of(proposals)
            embeddings, deltas = self.regions.all_heads(feats, rois)
            boxes = decoded(rois, deltas)
        borders = np.tile(sizes_N2[:, ::-1], 2)[rois[:, 0].astype(np.int64)]
        boxes = np.clip(boxes, 0, borders.astype(np.float32))
        parts = (by_image(boxes, proposals), by_image(embeddings, proposals))
        return list(zip(proposals, *parts, strict=True))
