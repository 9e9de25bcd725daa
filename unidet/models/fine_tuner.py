"""Fine-tuning of a RoI classifier that keeps what it knew: rehearsal on stored maps, a pull back.

The backbone stays as it is, so what it makes of an old image can be stored once and serves ever
after: training sees the same regions as if the image were there. What learns is all behind
RoIAlign: last layer, pool, box regressor, the classifier's scale and bias.

Dimension letters: N images, R regions, D length of an embedding.

Sources: rehearsal, Robins 1995 and Rebuffi et al., arXiv 1611.07725; distillation on the new
images, Li and Hoiem, arXiv 1606.09282; L2-SP, Li et al., arXiv 1802.01483.
"""

from __future__ import annotations

from dataclasses import dataclass

import jittor as jt
import numpy as np

from unidet.models.layers import freeze
from unidet.models.roi_classifier import RoiClassifier
from unidet.models.roi_samples import Anywhere, RoiBatch, RoiSamples, nowhere_else
from unidet.models.stored_images import StoredImages
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.losses import binary_cross_entropy, weighted_sum
from unidet.ops.sampling import BatchRandom, for_image
from unidet.records import Batch


@dataclass(frozen=True)
class FineTuningBatch:
    """What one step learns from: new images, and as many stored ones (or none at all)."""

    new: RoiBatch
    stored: RoiBatch | None

    def parts(self, count: int) -> list[FineTuningBatch]:
        """As `Batch.parts`."""
        new = self.new.parts(count)
        stored = self.stored.parts(count) if self.stored else [None] * count
        return [FineTuningBatch(*pair) for pair in zip(new, stored, strict=True)]


@dataclass(frozen=True)
class Weights:
    """Of the losses beside that of the new images; 0 leaves one out."""

    rehearsal: float
    distillation: float
    pull: float


class FineTuner:
    """The losses of a classifier that learns new names beside those it knew.

    Args:
        network: starts where `start` does; its first `new_sets` datasets are new, the others are
            those that it knew. Its backbone is frozen here.
        start: the network as it was, with the same vocabularies; only distillation needs it.
        stored: images of the datasets that it knew; may be empty.
    """

    def __init__(
        self,
        network: RoiClassifier,
        start: RoiClassifier,
        stored: StoredImages,
        weights: Weights,
        *,
        new_sets: int,
    ) -> None:
        freeze([network.backbone])
        self._network, self._start, self._stored = network, start, stored
        self._weights = weights
        self._known = range(new_sets, len(network.classifier.class_counts))
        names = {name for name, var in network.named_parameters() if not var.is_stop_grad()}
        # Running statistics never change here; all else starts where it is pulled to.
        self._anchors = {
            name: var.numpy() for name, var in start.named_parameters() if name in names
        }

    def prepare(
        self, batch: Batch, rng: BatchRandom, anywhere: Anywhere = nowhere_else
    ) -> FineTuningBatch:
        """The regions and names to learn from; every new image brings a stored one."""
        new = self._network.sample(batch, rng, anywhere)
        if not (len(self._stored) and self._weights.rehearsal):
            return FineTuningBatch(new, None)
        images = range(len(batch.dataset_ids))
        rows = [int(for_image(rng, image).integers(len(self._stored))) for image in images]
        return FineTuningBatch(new, self._network.sample(self._stored.batch(rows), rng, anywhere))

    def loss(self, batch: FineTuningBatch, rng: BatchRandom) -> Losses:
        """`loss_class`, `loss_box` of the new images, and the weighted ones beside them."""
        with jt.no_grad():
            feats = self._network.features(jt.array(batch.new.images_NCHW))
        embeddings, deltas = self._network.heads(feats, batch.new.samples.rois_R5)
        losses = dict(
            self._network.losses(embeddings, deltas, batch.new.samples, batch.new.classes)
        )
        if batch.stored is not None:
            losses |= self._rehearsal(batch.stored)
        if self._weights.distillation and self._known:
            losses["loss_distillation"] = self._distillation(feats, embeddings, batch.new.samples)
        if self._weights.pull:
            losses["loss_pull"] = self._pull(len(batch.new.classes))
        return losses

    def _rehearsal(self, stored: RoiBatch) -> Losses:
        """The loss of old images, from their maps."""
        heads = self._network.heads(jt.array(stored.images_NCHW), stored.samples.rois_R5)
        losses = self._network.losses(*heads, stored.samples, stored.classes)
        weight = self._weights.rehearsal
        return {
            f"loss_old_{kind}": LossTerm(term.sum, term.count, weight)
            for kind, term in ((kind, losses[f"loss_{kind}"]) for kind in ("class", "box"))
        }

    def _distillation(
        self, feats_NCHW: jt.Var, embeddings_RD: jt.Var, samples: RoiSamples
    ) -> LossTerm:
        """How far the old names' probabilities are from the start's, on the new images' regions.

        Cross entropy less the start's own entropy, summed over names, averaged over an image's
        regions, divided by the images.
        """
        with jt.no_grad():
            before, _ = self._start.heads(feats_NCHW, samples.rois_R5)
        shares = np.zeros((embeddings_RD.shape[0], 1), np.float32)
        counts = np.bincount(samples.images_R, minlength=len(samples.datasets_N))
        shares[: len(samples.images_R), 0] = 1 / counts[samples.images_R]
        total = jt.zeros((1,))
        for dataset in self._known:
            known = self._start.classifier(before, dataset).stop_grad()
            targets = jt.sigmoid(known)
            total += binary_cross_entropy(
                self._network.classifier(embeddings_RD, dataset), targets, shares
            )
            total -= binary_cross_entropy(known, targets, shares)
        return LossTerm(total, len(samples.datasets_N), self._weights.distillation)

    def _pull(self, images: int) -> LossTerm:
        """Half the squared distance from the start; the parts of a batch add up to it."""
        parameters = dict(self._network.named_parameters())
        distance = sum(
            weighted_sum((parameters[name] - jt.array(anchor)) ** 2)
            for name, anchor in self._anchors.items()
        )
        return LossTerm(distance * (0.5 * images), images, self._weights.pull)
