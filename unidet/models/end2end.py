"""UniDetector end to end: a region proposal network and the RoI network on one feature map.

N: images, P: proposals of an image, R: regions, D: length of an embedding. Boxes are xyxy in pixels
of the network's input.

Source: UniDetector configs/singledataset/clip_end2end_faster_rcnn_r50_c4_1x_coco.py.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.roi_classifier import RoiClassifier, decoded
from unidet.models.roi_samples import Anywhere, annotated_boxes, nowhere_else
from unidet.models.rpn_head import RPNHead
from unidet.ops.loss_term import Losses
from unidet.ops.rois import rois_of, split_by_image
from unidet.ops.sampling import BatchRandom, RandomSource
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import RPNHeadConfig


@dataclass(frozen=True)
class EndToEndBatch:
    """A training batch, and the class indices that the regions of each image are compared with."""

    images: Batch
    classes: list[np.ndarray]

    def parts(self, count: int) -> list[EndToEndBatch]:
        """As `Batch.parts`."""
        images = self.images.parts(count)
        size = len(images[0].boxes)
        firsts = range(0, len(self.classes), size)
        classes = [self.classes[first : first + size] for first in firsts]
        return [EndToEndBatch(*part) for part in zip(images, classes, strict=True)]


class EndToEnd(nn.Module):
    """`rpn_head` proposes on the feature map of `regions`, whose heads classify and refine.

    Both are trained jointly.

    Args:
        regions: call its `set_vocabularies` first.
        rpn_head: on a single level with the stride of the map.
        settings: those of `rpn_head`.
    """

    def __init__(self, regions: RoiClassifier, rpn_head: RPNHead, settings: RPNHeadConfig) -> None:
        super().__init__()
        self.regions = regions
        self.rpn_head = rpn_head
        self.settings = settings

    def prepare(
        self,
        batch: Batch,
        rng: BatchRandom | np.random.Generator,
        anywhere: Anywhere = nowhere_else,
    ) -> EndToEndBatch:
        """Sample the classes of the classification loss; this uses no weights.

        They depend on the labels of the images' boxes and not on the sampled regions, which are not
        known yet, so that they do not depend on how a batch is divided. Pass all images of a
        process at once, as for `RoiClassifier.sample`, which raises the same ValueError.
        """
        labelled = annotated_boxes(batch, self.regions.classifier.class_counts)
        return EndToEndBatch(batch, self.regions.draw_classes(labelled, rng, anywhere))

    def loss(self, batch: EndToEndBatch, rng: RandomSource) -> Losses:
        """`loss_rpn_cls`, `loss_rpn_bbox` and the losses of the RoI network."""
        images = batch.images
        feats = self.regions.features(jt.array(images.images_NCHW))
        output = self.rpn_head([feats])
        targets = self.rpn_head.targets(output.anchors_A4, images, rng)
        rpn_losses = self.rpn_head.losses(output, targets)
        proposals = self.rpn_head.proposals(output, images.sizes_N2)
        samples = self.regions.sample_regions(replace(images, proposals=proposals), rng)
        heads = self.regions.heads(feats, samples.rois_R5)
        return {**rpn_losses, **self.regions.losses(*heads, samples, batch.classes)}

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of each image, (P, 5) float32 xyxy + score, by descending score."""
        with jt.no_grad():
            return self._proposals(self.regions.features(images_NCHW), sizes_N2)

    def _proposals(self, feats_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals with the limits of inference."""
        limits = (self.settings.test_proposals_per_level, self.settings.test_max_rois)
        return self.rpn_head.proposals(self.rpn_head([feats_NCHW]), sizes_N2, limits)

    def detect_regions(
        self, images_NCHW: jt.Var, sizes_N2: np.ndarray, most: int | None = None
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Proposals (P, 5), refined boxes (P, 4) and normalized embeddings (P, D) of each image.

        Proposals are sorted by descending score; with `most`, only so many are used. Boxes are
        clipped to the image's (height, width).
        """
        with jt.no_grad():
            feats = self.regions.features(images_NCHW)
            proposals = [rows[:most] for rows in self._proposals(feats, sizes_N2)]
            rois = rois_of(proposals)
            embeddings, deltas = self.regions.all_heads(feats, rois)
            boxes = decoded(rois, deltas)
        borders = np.tile(sizes_N2[:, ::-1], 2)[rois[:, 0].astype(np.int64)]
        boxes = np.clip(boxes, 0, borders.astype(np.float32))
        parts = (split_by_image(boxes, proposals), split_by_image(embeddings, proposals))
        return list(zip(proposals, *parts, strict=True))
