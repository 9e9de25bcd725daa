"""Class-agnostic localization: a dense stage proposes boxes, a RoI stage moves and scores them.

With OLN's head as dense stage it is UniDetector's class-agnostic localization network (CLN); a
plain RPN is its baseline. N images, A anchors, P proposals. Boxes are xyxy in the resized frame, in
pixels.

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
        """The number of anchors with a box target."""


class DenseStage(Protocol):
    """`models.oln_head`, `models.rpn_head`; outputs and targets are its own kinds."""

    def __call__(self, feats: list[jt.Var]) -> DenseOutput:
        """Pyramid levels (N, C, H, W), finest first -> what is said of every anchor."""

    def execute(self, feats: list[jt.Var]) -> DenseOutput:
        """What a call runs."""

    def targets(self, anchors_A4: np.ndarray, batch: Batch, rng: RandomSource) -> DenseTargets:
        """Training targets of the anchors of every image."""

    def losses(self, output: Any, targets: Any) -> Losses:
        """Named losses of one batch."""

    def proposals(self, output: Any, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals (P, 5) of every image, clipped to its (height, width); column 4 = score."""


class LocalizationNetwork(nn.Module):
    """Proposals that know no class, scored by class^alpha * (dense score * IoU)^(1 - alpha).

    `backbone`, `neck`, `rpn_head`, `box_head` are the parts; their strides and channels must fit.
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
        """Losses of one training batch, and under "positives" the anchors that learn a box."""
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
        """Proposals of every image, (P, 5) float32 xyxy + score, best first.

        `images_NCHW` normalized and padded, `sizes_N2` (height, width) before padding.
        """
        self.backbone.set_batch_norm_training(False)
        with jt.no_grad():
            feats = self.pyramid(images_NCHW)
            proposals = self.rpn_head.proposals(self.rpn_head(feats), sizes_N2)
            output = self.box_head.in_passes(feats, proposals)
            refined = self.box_head.refined(proposals, output, sizes_N2)
            return [self.box_head.suppressed(rows) for rows in refined]
