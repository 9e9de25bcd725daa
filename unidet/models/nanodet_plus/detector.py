"""NanoDet-Plus as a detector of C classes, or with C = 1 as a class-agnostic proposal network.

N images, P priors, C classes, D detections. Images are BGR, normalized; boxes are
xyxy in input pixels.

Sources: nanodet (RangiLyu) model/arch/nanodet_plus.py, model/head/nanodet_plus_head.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.folded import norms_below, unfold
from unidet.models.inference import RecordedNetwork, pack_for_inference
from unidet.models.nanodet_plus.assigner import Assignment, assign
from unidet.models.nanodet_plus.backbone import ShuffleNetV2
from unidet.models.nanodet_plus.criterion import Targets, head_losses, kept_apart, targets_of
from unidet.models.nanodet_plus.ghost_pan import GhostPAN
from unidet.models.nanodet_plus.heads import AuxiliaryHead, NanoDetPlusHead
from unidet.models.nanodet_plus.predictions import Predictions, grid_priors
from unidet.ops.activation import sigmoid
from unidet.ops.blocked_maps import can_block
from unidet.ops.boxes import clip_boxes
from unidet.ops.finite import require_finite
from unidet.ops.loss_term import Losses
from unidet.ops.nms import class_wise_nms, nms
from unidet.ops.sampling import RandomSource
from unidet.records import Batch, Detected

if TYPE_CHECKING:
    from unidet.config.networks import NanoDetPlusConfig

STRIDES = (8, 16, 32, 64)
BINS = 8
"""Whole distances a side can have, in strides from 0."""
SCORE_THRESHOLD, IOU_THRESHOLD, MAX_DETECTIONS = 0.05, 0.6, 100
"""Of `detect`; the IoU is that of NMS."""
ROUNDING = 1e-6
"""Probabilities so far below the threshold are not computed; sigmoid rounds by less."""


class NanoDetPlus(nn.Module):
    """ShuffleNetV2, GhostPAN and a head; in training a second neck and head decide what it learns.

    Args:
        classes: C; 1 for proposals that know no class.
        auxiliary: build the auxiliary neck and head, without which `loss` cannot be computed.
    """

    def __init__(self, settings: NanoDetPlusConfig, *, classes: int, auxiliary: bool) -> None:
        super().__init__()
        self.settings = settings
        self.classes = classes
        self.backbone = ShuffleNetV2(settings.backbone_channels)
        channels = settings.channels
        self.fpn = GhostPAN(self.backbone.channels, channels)
        self.head = NanoDetPlusHead(channels, classes, BINS)
        self.aux_fpn = GhostPAN(self.backbone.channels, channels) if auxiliary else None
        self.aux_head = AuxiliaryHead(2 * channels, classes, BINS) if auxiliary else None
        if self.aux_fpn is not None:
            _copy(self.fpn, self.aux_fpn)
        self._norms = norms_below(self)
        pack_for_inference(self)
        self._recorded = RecordedNetwork((self.backbone, self.fpn, self.head))

    def _train_norms(self, on: bool) -> None:
        """As `set_batch_norm_training`, which takes a millisecond to find them."""
        for norm in self._norms:
            norm.is_train = on

    def predict(self, images_NCHW: jt.Var) -> Predictions:
        """Output of the head that is kept. H and W multiples of 32."""
        logits = (
            self._recorded(self.logits, images_NCHW.data)
            if self._blocks
            else self.logits(images_NCHW)
        )
        return self._predictions(logits, images_NCHW)

    @property
    def _blocks(self) -> bool:
        """Whether maps are blocked."""
        inference = jt.flags.no_grad and not self.backbone.stem.norm.is_train
        return bool(inference and can_block(self.settings.channels // 2))

    def logits(self, images_NCHW: jt.Var) -> jt.Var:
        """(N, P, C + 4K) of images, which may be recorded (ops/recording.py)."""
        return self.head(self.fpn(self.backbone(images_NCHW, blocks=self._blocks)))

    def predict_both(
        self, images_NCHW: jt.Var, *, detached: bool = False
    ) -> tuple[Predictions, Predictions]:
        """Output of the head and of the auxiliary head, batch norm on the batch's statistics.

        `detached`: the auxiliary one sends no gradient to what it shares with the other.
        """
        self._train_norms(True)
        return self._both(images_NCHW, detached)

    def _both(self, images_NCHW: jt.Var, detached: bool) -> tuple[Predictions, Predictions]:
        if self.aux_fpn is None or self.aux_head is None:
            raise ValueError("this NanoDetPlus was built without its auxiliary head")
        maps = self.backbone(images_NCHW)
        levels = self.fpn(maps)
        seen, own = levels, maps
        if detached:
            seen, own = [x.detach() for x in levels], [x.detach() for x in maps]
        doubled = [
            jt.concat([level, other], dim=1)
            for level, other in zip(seen, self.aux_fpn(own), strict=True)
        ]
        main = self._predictions(self.head(levels), images_NCHW)
        return main, self._predictions(self.aux_head(doubled), images_NCHW)

    def _predictions(self, logits: jt.Var, images_NCHW: jt.Var) -> Predictions:
        height, width = images_NCHW.shape[2:]
        shapes = tuple((-(-height // stride), -(-width // stride)) for stride in STRIDES)
        return Predictions(logits, grid_priors(shapes, STRIDES), self.classes, BINS)

    def unfold(self, batches: Iterable[np.ndarray]) -> None:
        """Make weights without norms fit for training: see `models.folded`.

        The auxiliary neck starts as a copy of the neck. `batches`: normalized images (N, 3, H, W).
        """
        if self.aux_fpn is not None:
            _copy(self.fpn, self.aux_fpn)
        self._train_norms(False)
        unfold(self, lambda images_NCHW: self._both(images_NCHW, False), batches)

    def losses(
        self,
        images_NCHW: jt.Var,
        boxes: list[np.ndarray],
        labels: list[np.ndarray],
        *,
        detached: bool = False,
    ) -> Losses:
        """`loss_qfl`, `loss_bbox`, `loss_dfl` and the same of the auxiliary head, `loss_aux_*`.

        Boxes (G, 4) and labels (G,) in 0 .. C-1 of every image. ValueError without auxiliary head.
        """
        main, auxiliary = self.predict_both(images_NCHW, detached=detached)
        return self.losses_of(main, auxiliary, boxes, labels)

    def losses_of(
        self,
        main: Predictions,
        auxiliary: Predictions,
        boxes: list[np.ndarray],
        labels: list[np.ndarray],
    ) -> Losses:
        """The losses of given predictions; both heads learn what the auxiliary one decided."""
        official = self.settings.compat == "official"
        if not official:
            boxes, labels = _with_area(boxes, labels)
        assignments = self.assignments(auxiliary, boxes, labels)
        targets = self.targets(assignments, boxes, labels, main.priors_P4)
        heads = {"loss_": main, "loss_aux_": auxiliary}
        terms = {
            prefix + name: term
            for prefix, head in heads.items()
            for name, term in head_losses(head, targets).items()
        }
        return kept_apart(terms) if official else terms

    def targets(
        self,
        assignments: list[Assignment],
        boxes: list[np.ndarray],
        labels: list[np.ndarray],
        priors_P4: np.ndarray,
    ) -> Targets:
        """What the assignments of all images make both heads learn."""
        return targets_of(assignments, boxes, labels, priors_P4, BINS)

    def assignments(
        self, auxiliary: Predictions, boxes: list[np.ndarray], labels: list[np.ndarray]
    ) -> list[Assignment]:
        """Which priors of each image learn which of its boxes."""
        decoded = auxiliary.boxes().detach().numpy()
        logits = auxiliary.class_logits.detach().numpy()
        points = auxiliary.priors_P4[:, :2]
        images = zip(logits, decoded, boxes, labels, strict=True)
        return [
            assign(scores, predicted, points, truth, names)
            for scores, predicted, truth, names in images
        ]

    def loss(self, batch: Batch, rng: RandomSource) -> Losses:
        """Losses of one training batch, labels in 0 .. C-1; nothing here is drawn from `rng`."""
        first = self.settings.detach_epoch
        detached = first is not None and batch.epoch >= first
        images_NCHW = jt.array(batch.images_NCHW)
        return self.losses(images_NCHW, batch.boxes, batch.labels, detached=detached)

    def _output(self, images_NCHW: jt.Var) -> Predictions:
        """Of the head that is kept, batch norm on running statistics, without gradients."""
        self._train_norms(False)
        with jt.no_grad():
            return self.predict(images_NCHW)

    def detect(
        self,
        images_NCHW: jt.Var,
        sizes_N2: np.ndarray,
        *,
        score_threshold: float = SCORE_THRESHOLD,
        iou_threshold: float = IOU_THRESHOLD,
        max_detections: int | None = MAX_DETECTIONS,
    ) -> list[Detected]:
        """Detections of every image, clipped to its `sizes_N2` (height, width) before padding.

        Every class of every prior above the threshold is a candidate, suppressed class by class;
        None keeps all that NMS keeps. nanodet_plus_head.py lines 464-513, module/nms.py.
        """
        output = self._output(images_NCHW)
        output = replace(output, logits_NPL=require_finite(output.logits_NPL.numpy()))
        least = _logit(score_threshold - ROUNDING)
        detections = []
        for row, size in enumerate(sizes_N2):
            logits_PC = output.logits_NPL[row, :, : self.classes]
            # of one dimension numpy finds them seven times as fast as of two
            places = np.flatnonzero(logits_PC > least)
            cells, labels = np.divmod(places, self.classes)
            scores = sigmoid(logits_PC[cells, labels])
            chosen = scores > score_threshold
            cells, labels, scores = cells[chosen], labels[chosen], scores[chosen]
            needed, rows = np.unique(cells, return_inverse=True)
            boxes = clip_boxes(output.of_image(row, needed).boxes()[0], size)[rows]
            kept = class_wise_nms(boxes, scores, labels, iou_threshold)[:max_detections]
            detections.append(Detected(boxes[kept], scores[kept], labels[kept]))
        return detections

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of every image, (K, 5) float32 xyxy + score, best first.

        A prior's score is its best class's. `sizes_N2` (height, width) before padding.
        """
        proposals = []
        output = self._output(images_NCHW)
        for row, size in enumerate(sizes_N2):
            one = output.of_image(row)
            with jt.no_grad():
                boxes = clip_boxes(one.boxes()[0], size)
                scores = require_finite(jt.sigmoid(one.class_logits)[0].max(dim=1).numpy())
            order = np.argsort(-scores, kind="stable")[: self.settings.candidates]
            rows = np.concatenate([boxes.numpy(), scores[:, None]], axis=1)[order]
            kept = nms(rows[:, :4], rows[:, 4], self.settings.proposal_nms)
            proposals.append(rows[kept[: self.settings.max_proposals]])
        return proposals


def _logit(probability: float) -> float:
    """Minus infinity up to probability 0, infinity from 1 on."""
    if not 0 < probability < 1:
        return -math.inf if probability <= 0 else math.inf
    return math.log(probability / (1 - probability))


def _copy(source: nn.Module, target: nn.Module) -> None:
    """Values only: Jittor's `load_state_dict` makes both hold one variable, gradient and all."""
    for original, copy in zip(source.parameters(), target.parameters(), strict=True):
        copy.update(jt.array(original.numpy()))


def _with_area(
    boxes: list[np.ndarray], labels: list[np.ndarray]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Without the boxes that augmentation has clipped away to a line or a point."""
    flags = [(truth[:, 2:] > truth[:, :2]).all(axis=1) for truth in boxes]
    kept = [truth[flag] for truth, flag in zip(boxes, flags, strict=True)]
    return kept, [names[flag] for names, flag in zip(labels, flags, strict=True)]
