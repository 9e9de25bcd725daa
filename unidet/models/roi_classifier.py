"""UniDetector's second stage: regions of several datasets classified by the names of their objects.

N: images, P: proposals of an image, R: regions of a batch, C: categories, D: length of an
embedding. Boxes are xyxy in pixels of the network's input.

Source: Wang et al., arXiv 2303.11749, 3.2; UniDetector mmdet/models/roi_heads/.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.layers import set_batch_norm_training
from unidet.models.roi_samples import (
    Anywhere,
    RoiBatch,
    RoiSamples,
    class_weights,
    draw_classes,
    nowhere_else,
    sample_rois,
)
from unidet.models.text_classifier import TextClassifier
from unidet.ops.blocked_maps import channel_count
from unidet.ops.coders import decode_deltas
from unidet.ops.finite import require_finite
from unidet.ops.loss_term import Losses, LossTerm, Pieces, tally
from unidet.ops.losses import binary_cross_entropy, l1_loss, one_hot
from unidet.ops.roi_align import roi_align
from unidet.ops.rois import rois_of, split_by_image
from unidet.ops.sampling import BatchRandom, RandomSource
from unidet.ops.vectors import l2_normalize
from unidet.records import Batch

if TYPE_CHECKING:
    from unidet.config.networks import ClassifierConfig

_ROIS_A_PASS, _NUMBERS_A_PASS = 512, 1 << 25
"""Most regions per pass of the heads in inference, and most feature values per pass, in training
too."""


class RoiClassifier(nn.Module):
    """Backbone, RoIAlign, shared last layer and pool; class logits and boxes from one embedding.

    Batch norms use running statistics, also in training; their weights and biases are trained.

    Args:
        backbone: returns a list of maps, of which the last is used; some stages may be frozen.
        shared_layer: maps of the regions (R, channels, size, size) to (R, C', h, w), for instance
            `build_layer(4, …)`.
        pool: (R, C', h, w) to (R, D): `AttentionPool` or `MeanPool`.
        classifier: holds the names; see `set_vocabularies`.
        settings: D is `embedding`; the pooled features have `pool_size` x `pool_size` cells.
        stride: image pixels per cell of the backbone's map (16 officially).
    """

    def __init__(
        self,
        backbone: nn.Module,
        shared_layer: nn.Module,
        pool: nn.Module,
        classifier: TextClassifier,
        settings: ClassifierConfig,
        *,
        stride: int,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.shared_layer = shared_layer
        self.pool = pool
        self.classifier = classifier
        self.box_regressor = nn.Linear(settings.embedding, 4)
        jt.init.gauss_(self.box_regressor.weight, std=0.001)
        jt.init.constant_(self.box_regressor.bias, 0.0)
        self.settings, self.stride = settings, stride
        self._allowed: list[np.ndarray | None] = []
        self.set_batch_norm_training(False)

    def set_batch_norm_training(self, training: bool) -> None:
        """Use batch statistics (True) or running ones (False), except in frozen stages."""
        set_batch_norm_training(self, training)
        self.backbone.set_batch_norm_training(training)

    def set_vocabularies(
        self, texts: Sequence[np.ndarray], allowed: Sequence[np.ndarray | None] | None = None
    ) -> None:
        """Names of each training dataset as (C, D) embeddings, in the order of the dataset ids.

        One dataset selects the official single-dataset loss, several the partitioned one.
        `allowed`: per dataset (C,) bool, classes that may be drawn as negatives (those with
        images), or None for all. Raises UserError as `TextClassifier.set_vocabularies`.
        """
        self.classifier.set_vocabularies(texts)
        self._allowed = list(allowed) if allowed is not None else [None] * len(texts)

    def features(self, images_NCHW: jt.Var) -> jt.Var:
        """The backbone's last map for normalized images."""
        return self.backbone(images_NCHW)[-1]

    def region_features(self, feats_NCHW: jt.Var, rois_R5: np.ndarray) -> jt.Var:
        """Features (R, channels, size, size) by RoIAlign; blocked if the map is."""
        size = self.settings.pool_size
        return roi_align(feats_NCHW, jt.array(rois_R5), size, 1.0 / self.stride, keeps_blocks=True)

    def heads(self, feats_NCHW: jt.Var, rois_R5: np.ndarray) -> tuple[jt.Var, jt.Var]:
        """Normalized embeddings and box deltas of max(R, 2) regions; rows after R are padding.

        For R = 1 all kernels would be compiled again, and for R = 0 some would fail.
        """
        padded = np.zeros((max(len(rois_R5), 2), 5), np.float32)
        padded[: len(rois_R5)] = rois_R5
        embeddings = self.pool(self.shared_layer(self.region_features(feats_NCHW, padded)))
        return l2_normalize(embeddings, 1), self.box_regressor(embeddings)

    def sample(
        self,
        batch: Batch,
        rng: BatchRandom | np.random.Generator,
        anywhere: Anywhere = nowhere_else,
    ) -> RoiBatch:
        """Sample training regions and the classes to compare them with; this uses no weights.

        Pass all images of a process at once, because the classes depend on the labels of all.

        Raises:
            ValueError: the batch has no proposals, or a label outside its dataset's names.
        """
        samples = self.sample_regions(batch, rng)
        classes = self.draw_classes(samples, rng, anywhere)
        return RoiBatch(batch.images_NCHW, samples, classes)

    def sample_regions(self, batch: Batch, rng: RandomSource) -> RoiSamples:
        """Only the regions of `sample`. Raises ValueError as `sample`."""
        return sample_rois(
            batch,
            self.classifier.class_counts,
            rng,
            count=self.settings.roi_samples,
            positive_fraction=self.settings.positive_fraction,
        )

    def draw_classes(
        self,
        samples: RoiSamples,
        rng: BatchRandom | np.random.Generator,
        anywhere: Anywhere = nowhere_else,
    ) -> list[np.ndarray]:
        """Only the classes of `sample`, per image, for regions with these labels."""
        return draw_classes(
            samples,
            self.classifier.class_counts,
            rng,
            count=self.settings.federated_classes,
            allowed=self._allowed,
            anywhere=anywhere,
        )

    def loss(self, batch: RoiBatch, rng: RandomSource) -> Losses:
        """`loss_class`, `loss_box` and the number of `positives`; `rng` is not used."""
        feats = self.features(jt.array(batch.images_NCHW))
        heads = self.heads(feats, batch.samples.rois_R5)
        return self.losses(*heads, batch.samples, batch.classes)

    def loss_in_pieces(self, batch: RoiBatch, rng: RandomSource) -> Losses | Pieces:
        """As `loss`, but in pieces of some regions each, if there are many features.

        Full-size features of 512 regions take 0.4 GB, and the activations of the last layer six
        times as much.
        """
        samples, regions = batch.samples, len(batch.samples.labels_R)
        feats = self.features(jt.array(batch.images_NCHW))

        def losses(shared: jt.Var, rows: slice) -> Losses:
            heads = self.heads(shared, samples.rois_R5[rows])
            return self.losses(*heads, samples, batch.classes, rows)

        count = -(-regions // self._regions_that_fit(feats))
        if count <= 1:
            return losses(feats, slice(None))
        borders = np.linspace(0, regions, count + 1).astype(int)
        parts = [partial(losses, rows=slice(*ends)) for ends in pairwise(borders)]
        return Pieces(feats, list(self.backbone.parameters()), parts)

    def losses(
        self,
        embeddings_RD: jt.Var,
        deltas_R4: jt.Var,
        samples: RoiSamples,
        classes: Sequence[np.ndarray],
        rows: slice = slice(None),
    ) -> Losses:
        """As `loss`, for given outputs of `heads` and the classes to compare with, per image.

        The classification loss is the sigmoid cross entropy of each (region, name), summed over
        names and divided by the number of regions or, with several datasets, of images. The box
        loss is the L1 loss of positives divided by the number of all regions, times
        `box_loss_weight` (bbox_head_clip.py lines 315-383, bbox_head_clip_partitioned.py).

        Args:
            rows: the regions of these outputs; divisors are those of all regions.
        """
        counts = self.classifier.class_counts
        regions, padded = len(samples.labels_R), embeddings_RD.shape[0]
        own = samples.labels_R[rows]
        labels = np.append(own, np.full(padded - len(own), max(counts)))
        weights = class_weights(samples, counts, classes, regions)
        loss_class = sum(
            binary_cross_entropy(
                self.classifier(embeddings_RD, dataset),
                one_hot(labels, count),
                _filled(weight[rows], padded),
            )
            for dataset, (count, weight) in enumerate(zip(counts, weights, strict=True))
        )
        backgrounds = np.asarray(counts)[samples.datasets_N[samples.images_R]]
        targets = _filled(samples.targets_R4[rows], padded)
        positive = _filled((samples.labels_R < backgrounds)[rows, None], padded)
        divisor = regions if len(counts) == 1 else len(samples.datasets_N)
        return {
            "loss_class": LossTerm(loss_class, divisor),
            "loss_box": LossTerm(
                l1_loss(deltas_R4, targets, positive), regions, self.settings.box_loss_weight
            ),
            "positives": tally(positive.sum()),
        }

    def regions(
        self, images_NCHW: jt.Var, sizes_N2: np.ndarray, proposals: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per image the proposals' refined boxes (P, 4) and normalized embeddings (P, D), float32.

        Args:
            images_NCHW: normalized and padded.
            sizes_N2: (height, width) before padding; boxes are clipped to it.
            proposals: per image (P, 4), or (P, 5) with a score that is not read; P may be 0.
        """
        rois = rois_of(proposals)
        limits = np.tile(sizes_N2[:, ::-1], 2)[rois[:, 0].astype(np.int64)]
        boxes, embeddings = self._all_regions(images_NCHW, rois)
        boxes = np.clip(boxes, 0, limits.astype(np.float32))
        parts = split_by_image(boxes, proposals), split_by_image(embeddings, proposals)
        return list(zip(*parts, strict=True))

    def _all_regions(
        self, images_NCHW: jt.Var, rois_R5: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Refined boxes (R, 4) and embeddings (R, D)."""
        with jt.no_grad():
            embeddings, deltas = self.all_heads(self.features(images_NCHW), rois_R5)
            return decoded(rois_R5, deltas), embeddings

    def all_heads(self, feats_NCHW: jt.Var, rois_R5: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `heads` for exactly R regions, some at a time; call it without gradients."""
        step, parts = min(_ROIS_A_PASS, self._regions_that_fit(feats_NCHW)), []
        for start in range(0, max(len(rois_R5), 1), step):
            part = rois_R5[start : start + step]
            parts.append([output.numpy()[: len(part)] for output in self.heads(feats_NCHW, part)])
        embeddings, deltas = map(np.concatenate, zip(*parts, strict=True))
        return require_finite(embeddings), require_finite(deltas)

    def _regions_that_fit(self, feats_NCHW: jt.Var) -> int:
        """Number of regions whose features have at most `_NUMBERS_A_PASS` values."""
        return max(_NUMBERS_A_PASS // (channel_count(feats_NCHW) * self.settings.pool_size**2), 1)


def _filled(values: np.ndarray, rows: int) -> np.ndarray:
    """`values` as float32, padded with zeros to `rows` rows."""
    filled = np.zeros((rows, *values.shape[1:]), np.float32)
    filled[: len(values)] = values
    return filled


def decoded(rois_R5: np.ndarray, deltas_R4: np.ndarray) -> np.ndarray:
    """Boxes (R, 4) of regions and their deltas, not clipped; R may be 0."""
    if not len(rois_R5):
        return np.zeros((0, 4), np.float32)
    return decode_deltas(rois_R5[:, 1:], jt.array(deltas_R4)).numpy()
