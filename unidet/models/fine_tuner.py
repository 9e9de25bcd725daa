"""Fine-tuning of a RoI classifier without forgetting: learned names, rehearsal, L2-SP.

The embedding of a new name is a parameter that is initialized by the text encoder. The backbone is
frozen, so its feature maps of old images can be stored once and used in training instead of the
images. With `trains_head`, all layers after RoIAlign are trained too: last layer, pool, box
regressor, and the classifier's scale and bias.

N: images, R: regions, C: names, D: length of an embedding.

Sources: learned name embeddings, Gal et al., arXiv 2208.01618; rehearsal, Rebuffi et al., arXiv
1611.07725; distillation on new images, Li and Hoiem, arXiv 1606.09282; L2-SP, Li et al., arXiv
1802.01483; partitioned loss, Wang et al., arXiv 2303.11749, 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.layers import freeze
from unidet.models.roi_classifier import RoiClassifier
from unidet.models.roi_samples import Anywhere, RoiBatch, RoiSamples, nowhere_else
from unidet.models.stored_images import StoredImages
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.losses import binary_cross_entropy, weighted_sum
from unidet.ops.sampling import BatchRandom, image_rng
from unidet.records import Batch

NAMES = "names_"
"""Parameters `names_0`, `names_1`, …: the (C, D) embeddings of each new set's names."""


@dataclass(frozen=True)
class FineTuningBatch:
    """Training data of one step: new images, and the same number of stored ones (or none)."""

    new: RoiBatch
    stored: RoiBatch | None

    def parts(self, count: int) -> list[FineTuningBatch]:
        """As `Batch.parts`."""
        new = self.new.parts(count)
        stored = self.stored.parts(count) if self.stored else [None] * count
        return [FineTuningBatch(*pair) for pair in zip(new, stored, strict=True)]


@dataclass(frozen=True)
class Weights:
    """Weights of the losses other than those of the new images; 0 disables a loss."""

    rehearsal: float
    negatives: float
    distillation: float
    pull: float


@dataclass(frozen=True)
class _Start:
    """Holds the initial network outside the module tree, so that it is not trained."""

    network: RoiClassifier


class FineTuner(nn.Module):
    """A classifier that learns new names and keeps the known ones.

    Args:
        network: a copy of `start` with the same vocabularies: those of the new sets, then those of
            the old sets. Layers that are not trained are frozen here.
        start: the network before fine-tuning.
        stored: images of the old sets; may be empty.
        new: initial embeddings (C, D) of the names of each new set, of any length.
    """

    def __init__(
        self,
        network: RoiClassifier,
        start: RoiClassifier,
        stored: StoredImages,
        weights: Weights,
        new: list[np.ndarray],
        *,
        trains_head: bool,
    ) -> None:
        super().__init__()
        freeze([network.backbone] if trains_head else [network])
        self.network = network
        for dataset, text in enumerate(new):
            unit = text / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), 1e-12)
            setattr(self, f"{NAMES}{dataset}", jt.array(unit.astype(np.float32)))
        self._start, self._stored, self._weights = _Start(start), stored, weights
        self._trains_head = trains_head
        self._new = range(len(new))
        self._known = range(len(new), len(network.classifier.class_counts))
        self._anchors = {
            name: var.numpy() for name, var in self.named_parameters() if not var.is_stop_grad()
        }

    def sample(
        self, batch: Batch, rng: BatchRandom, anywhere: Anywhere = nowhere_else
    ) -> FineTuningBatch:
        """Sample training regions and names; each new image is paired with a stored one."""
        new = self.network.sample(batch, rng, anywhere)
        if not (len(self._stored) and (self._weights.rehearsal or self._weights.negatives)):
            return FineTuningBatch(new, None)
        images = range(len(batch.dataset_ids))
        rows = [int(image_rng(rng, image).integers(len(self._stored))) for image in images]
        return FineTuningBatch(new, self.network.sample(self._stored.batch(rows), rng, anywhere))

    def loss(self, batch: FineTuningBatch, rng: BatchRandom) -> Losses:
        """`loss_class` and `loss_box` of the new images, and the other weighted losses."""
        for dataset in self._new:
            names = getattr(self, f"{NAMES}{dataset}")
            self.network.classifier.replace_vocabulary(dataset, names)
        with jt.no_grad():
            feats = self.network.features(jt.array(batch.new.images_NCHW))
        embeddings, deltas = self._heads(feats, batch.new.samples)
        losses = dict(self.network.losses(embeddings, deltas, batch.new.samples, batch.new.classes))
        if batch.stored is not None:
            losses |= self._rehearsal(batch.stored)
        if self._weights.distillation and self._trains_head:
            losses["loss_distillation"] = self._distillation(feats, embeddings, batch.new.samples)
        if self._weights.pull:
            losses["loss_pull"] = self._pull(len(batch.new.classes))
        return losses

    def _heads(self, feats_NCHW: jt.Var, samples: RoiSamples) -> tuple[jt.Var, jt.Var]:
        if self._trains_head:
            return self.network.heads(feats_NCHW, samples.rois_R5)
        with jt.no_grad():
            return self.network.heads(feats_NCHW, samples.rois_R5)

    def _rehearsal(self, stored: RoiBatch) -> Losses:
        """Losses of old images from their stored maps: of old names, and new names as negatives."""
        weights, samples = self._weights, stored.samples
        embeddings, deltas = self._heads(jt.array(stored.images_NCHW), samples)
        terms: dict[str, LossTerm] = {}
        if weights.rehearsal and self._trains_head:
            losses = self.network.losses(embeddings, deltas, samples, stored.classes)
            terms = {
                f"loss_old_{kind}": LossTerm(term.sum, term.count, weights.rehearsal)
                for kind, term in ((kind, losses[f"loss_{kind}"]) for kind in ("class", "box"))
            }
        if weights.negatives:
            absent, shares = jt.zeros((1,)), _shares(samples, embeddings.shape[0])
            for dataset in self._new:
                logits = self.network.classifier(embeddings, dataset)
                absent += binary_cross_entropy(logits, jt.zeros_like(logits), shares)
            images = len(samples.datasets_N)
            terms["loss_negatives"] = LossTerm(absent, images, weights.negatives)
        return terms

    def _distillation(
        self, feats_NCHW: jt.Var, embeddings_RD: jt.Var, samples: RoiSamples
    ) -> LossTerm:
        """Divergence of the old names' probabilities from those of `start`, on new images.

        Cross entropy minus the entropy of `start`, summed over names, averaged over the regions of
        an image and then over images.
        """
        start = self._start.network
        with jt.no_grad():
            before, _ = start.heads(feats_NCHW, samples.rois_R5)
        shares = _shares(samples, embeddings_RD.shape[0])
        total = jt.zeros((1,))
        for dataset in self._known:
            known = start.classifier(before, dataset).stop_grad()
            targets = jt.sigmoid(known)
            logits = self.network.classifier(embeddings_RD, dataset)
            total += binary_cross_entropy(logits, targets, shares)
            total -= binary_cross_entropy(known, targets, shares)
        return LossTerm(total, len(samples.datasets_N), self._weights.distillation)

    def _pull(self, images: int) -> LossTerm:
        """L2-SP: half the squared distance from `start`; the parts of a batch add up to it."""
        parameters = dict(self.named_parameters())
        distance = sum(
            weighted_sum((parameters[name] - jt.array(anchor)) ** 2)
            for name, anchor in self._anchors.items()
        )
        return LossTerm(distance * (0.5 * images), images, self._weights.pull)


def _shares(samples: RoiSamples, rows: int) -> np.ndarray:
    """Weights (rows, 1) float32: those of an image's regions sum to 1; padding has weight 0."""
    counts = np.bincount(samples.images_R, minlength=len(samples.datasets_N))
    shares = np.zeros((rows, 1), np.float32)
    shares[: len(samples.images_R), 0] = 1 / counts[samples.images_R]
    return shares
