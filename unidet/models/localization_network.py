"""Class-agnostic localization: a dense stage proposes boxes, a RoI stage moves and scores them.

With OLN's head as dense stage it is UniDetector's class-agnostic localization network (CLN); with a
plain RPN it is the baseline. N: images, A: anchors, P: proposals. Boxes are xyxy in pixels of the
resized image.

Source: UniDetector (arXiv 2303.11749) 3.2 and its stage-1 configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.box_head import BoxHead
from unidet.models.dense_output import DenseOutput
from unidet.ops.loss_term import Losses, tally
from unidet.ops.sampling import RandomSource
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import LocalizationConfig


class DenseTargets(Protocol):
    """Training targets of the anchors of a batch."""

    @property
    def boxes_learned(self) -> int:
        """Number of anchors with a box target."""


class DenseStage(Protocol):
    """Interface of `models.oln_head` and `models.rpn_head`, which have their own targets."""

    def __call__(self, feats: list[jt.Var]) -> DenseOutput:
        """Pyramid levels (N, C, H, W), finest first -> outputs of all anchors."""

    def execute(self, feats: list[jt.Var]) -> DenseOutput:
        """The computation of a call."""

    def targets(self, anchors_A4: np.ndarray, batch: Batch, rng: RandomSource) -> DenseTargets:
        """Training targets of the anchors of all images."""

    def losses(self, output: Any, targets: Any) -> Losses:
        """Named losses of one batch."""

    def proposals(self, output: Any, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals (P, 5) of each image, clipped to its (height, width); column 4 is the score."""


class LocalizationNetwork(nn.Module):
    """Class-agnostic proposals with score class^alpha * (dense score * IoU)^(1 - alpha).

    Strides and channels of `backbone`, `neck`, `rpn_head` and `box_head` must fit together.
    """

    def __init__(
        self,
        backbone: nn.Module,
        neck: nn.Module,
        rpn_head: DenseStage,
        box_head: BoxHead,
        settings: LocalizationConfig,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.rpn_head = rpn_head
        self.box_head = box_head
        self.settings = settings

    def pyramid(self, images_NCHW: jt.Var) -> list[jt.Var]:
        """Pyramid levels (N, C, H, W), finest first."""
        return self.neck(self.backbone(images_NCHW))

    def loss(self, batch: Batch, rng: RandomSource) -> Losses:
        """Losses of one training batch; "positives" is the number of anchors with a box target."""
        self.backbone.set_batch_norm_training(self.settings.batch_norm_training)
        feats = self.pyramid(jt.array(batch.images_NCHW))
        output = self.rpn_head(feats)
        targets = self.rpn_head.targets(output.anchors_A4, batch, rng)
        dense_losses = self.rpn_head.losses(output, targets)
        proposals = self.rpn_head.proposals(output, batch.sizes_N2)
        samples = self.box_head.sample(proposals, batch.boxes, rng)
        box_losses = self.box_head.losses(self.box_head(feats, samples.rois), samples)
        return {**dense_losses, **box_losses, "positives": tally(targets.boxes_learned)}

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of each image, (P, 5) float32 xyxy + score, by descending score.

        `images_NCHW` are normalized and padded; `sizes_N2` is (height, width) before padding.
        """
        self.backbone.set_batch_norm_training(False)
        with jt.no_grad():
            feats = self.pyramid(images_NCHW)
            proposals = self.rpn_head.proposals(self.rpn_head(feats), sizes_N2)
            output = self.box_head.in_passes(feats, proposals)
            refined = self.box_head.refined(proposals, output, sizes_N2)
            return [self.box_head.suppressed(rows) for rows in refined]
