"""RT-DETR: backbone, hybrid encoder, decoder; its training losses and its detections.

N images, Q queries, C classes, P proposals. Source: Zhao et al., arXiv 2304.08069; RT-DETR
068dfde6, src/zoo/rtdetr/rtdetr.py, rtdetr_criterion.py, rtdetr_postprocessor.py, configs/rtdetr.
"""

from __future__ import annotations

from dataclasses import dataclass

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.networks import Block, ResNetConfig, RTDETRConfig
from unidet.models.inference import pack_for_inference
from unidet.models.layers import freeze_batch_norm, set_batch_norm_training
from unidet.models.matcher import Matches, Targets, relative_targets
from unidet.models.resnet import ResNet
from unidet.models.rtdetr.criterion import layer_losses, match_queries, no_losses
from unidet.models.rtdetr.decoder import Decoder, Selection
from unidet.models.rtdetr.decoder_layer import Sizes
from unidet.models.rtdetr.denoising import (
    DenoisingQueries,
    Noise,
    denoising_queries,
    noise_shape,
)
from unidet.models.rtdetr.encoder import HybridEncoder
from unidet.models.set_prediction import Prediction, absolute_boxes, proposals
from unidet.models.transformer_layers import MultiHeadAttention
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.sampling import BatchRandom, batch_rng, image_rng
from unidet.records import Batch, Detected

STRIDE = 32
"""Image sides are multiples of this."""
MAX_DETECTIONS = 300
"""Of `detect`."""


@dataclass(frozen=True)
class Variant:
    """A published size.

    Attributes:
        block, blocks: of the backbone.
        width, hidden, expansion: of the encoder.
        layers: of the decoder.
        frozen: the backbone's stem and all its batch norms do not learn.
    """

    block: Block
    blocks: tuple[int, int, int, int]
    width: int
    hidden: int
    expansion: float
    layers: int
    frozen: bool

    @property
    def backbone(self) -> ResNetConfig:
        """Every field spelt out: a default of the schema is no part of a key."""
        return ResNetConfig(
            kind="resnet",
            style="vd",
            block=self.block,
            width=64,
            blocks=self.blocks,
            strides=(1, 2, 2, 2),
            stem_stride=4,
            frozen_stages=0,
        )


VARIANTS = {
    "r18vd": Variant("basic", (2, 2, 2, 2), 256, 1024, 0.5, 3, False),
    "r34vd": Variant("basic", (3, 4, 6, 3), 256, 1024, 0.5, 4, False),
    "r50vd": Variant("bottleneck", (3, 4, 6, 3), 256, 1024, 1.0, 6, True),
    "r101vd": Variant("bottleneck", (3, 4, 23, 3), 384, 2048, 1.0, 6, True),
}


@dataclass(frozen=True)
class TrainingOutput:
    """All predictions of a training step.

    Attributes:
        layers: of the queries proper, one per decoder layer.
        denoising_layers: of the denoising queries, one per decoder layer; empty without them.
        selection: the encoder's.
        denoising: None where the batch has no boxes.
    """

    layers: list[Prediction]
    denoising_layers: list[Prediction]
    selection: Selection
    denoising: DenoisingQueries | None

    @property
    def matched(self) -> dict[str, Prediction]:
        """All that boxes are matched with, by what stands behind its losses' names: "" the last
        layer, `_aux_i` those before it and at last the encoder."""
        *inner, last = self.layers
        auxiliary = [*inner, self.selection.prediction]
        return {"": last} | {
            f"_aux_{index}": prediction for index, prediction in enumerate(auxiliary)
        }


class RTDETR(nn.Module):
    """Detector with one-to-one assignment: no anchors to tune, no NMS.

    Images are RGB in 0..1, not normalized further, with sides in multiples of 32.

    Args:
        classes: C; 1 for proposals without a class.
    """

    def __init__(self, settings: RTDETRConfig, *, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.classes = classes
        variant = VARIANTS[settings.variant]
        self._frozen = variant.frozen
        self.backbone = ResNet(variant.backbone, outputs=(2, 3, 4))
        self.decoder = Decoder(
            variant.width,
            levels=3,
            classes=classes,
            layers=variant.layers,
            queries=settings.queries,
        )
        self.encoder = HybridEncoder(
            self.backbone.channels,
            width=variant.width,
            hidden=variant.hidden,
            expansion=variant.expansion,
        )
        for module in self.encoder.modules():
            if isinstance(module, MultiHeadAttention):
                jt.init.xavier_uniform_(module.in_proj_weight)
        pack_for_inference(self)
        if variant.frozen:
            self.backbone.freeze_stem()
            freeze_batch_norm(self.backbone)

    def set_training(self, training: bool) -> None:
        """Batch statistics (True) or running ones, except in a frozen backbone."""
        set_batch_norm_training(self, training)
        if self._frozen:
            set_batch_norm_training(self.backbone, False)

    def loss(self, batch: Batch, rng: BatchRandom | np.random.Generator) -> Losses:
        """Losses of one training batch."""
        self.set_training(True)
        images = jt.array(batch.images_NCHW)
        targets = self.targets(batch)
        if self.settings.train_sides:
            side = int(batch_rng(rng).choice(self.settings.train_sides))
            images = nn.interpolate(images, size=(side, side), mode="nearest")
        output = self.training_output(images, targets, self.noise(targets, rng))
        return self.losses(output, self.matches(output, targets), targets)

    def targets(self, batch: Batch) -> Targets:
        """The ground truth in units of the padded images' sides."""
        images, _, *canvas = batch.images_NCHW.shape
        sizes_N2 = np.tile(np.array(canvas), (images, 1))
        return relative_targets(batch, sizes_N2, drop_empty=self.settings.compat == "default")

    def noise(self, targets: Targets, rng: BatchRandom | np.random.Generator) -> Noise:
        """Of the denoising queries, drawn from the first image's stream for all: how many an image
        gets depends on the others, so a part of a batch has noise of its own anyway."""
        return Noise.draw(image_rng(rng, 0), noise_shape(targets), self.classes)

    def training_output(
        self, images_NCHW: jt.Var, targets: Targets, noise: Noise
    ) -> TrainingOutput:
        """Predictions of every layer, of queries proper and of denoising queries."""
        denoising = denoising_queries(targets, self.classes, noise) if targets.count else None
        memory, sizes = self.memory(images_NCHW)
        return self.decoded(memory, sizes, self.decoder.select(memory, sizes), denoising)

    def memory(self, images_NCHW: jt.Var) -> tuple[jt.Var, Sizes]:
        """What the decoder looks at, and the levels' sizes; ValueError for sides that are no
        multiples of 32."""
        height, width = images_NCHW.shape[2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(f"images of {height} x {width}, sides must be multiples of {STRIDE}")
        return self.decoder.memory(self.encoder(self.backbone(images_NCHW)))

    def decoded(
        self,
        memory: jt.Var,
        sizes: Sizes,
        selection: Selection,
        denoising: DenoisingQueries | None,
    ) -> TrainingOutput:
        """What the decoder makes of the selected queries and the denoising queries."""
        predictions = self.decoder.decode(memory, sizes, selection, denoising, all_layers=True)
        first = denoising.labels.shape[1] if denoising else 0
        parts = [prediction.split(first) for prediction in predictions]
        denoising_layers = [part[0] for part in parts] if denoising else []
        return TrainingOutput([part[1] for part in parts], denoising_layers, selection, denoising)

    def matches(self, output: TrainingOutput, targets: Targets) -> dict[str, Matches]:
        """The queries of `output.matched` with the boxes that they learn."""
        return {
            name: match_queries(prediction, targets) for name, prediction in output.matched.items()
        }

    def losses(
        self, output: TrainingOutput, matches: dict[str, Matches], targets: Targets
    ) -> Losses:
        """3 (2 L + 1) losses of L layers: the last layer's, `_aux_i` of those before it and of the
        encoder, divided by the number of boxes; `_dn_i` of the denoising queries, divided by
        their positives."""
        losses: dict[str, LossTerm] = {}
        for suffix, prediction in output.matched.items():
            terms = layer_losses(prediction, matches[suffix], targets, targets.count)
            losses |= {name + suffix: term for name, term in terms.items()}
        for index in range(len(output.layers)):
            terms = self._denoising_losses(output, index, targets)
            losses |= {f"{name}_dn_{index}": term for name, term in terms.items()}
        return losses

    def _denoising_losses(self, output: TrainingOutput, layer: int, targets: Targets) -> Losses:
        if output.denoising is None:
            return no_losses()
        positives = targets.count * output.denoising.groups
        return layer_losses(
            output.denoising_layers[layer], output.denoising.matches, targets, positives
        )

    def predict(self, images_NCHW: jt.Var) -> Prediction:
        """Logits (N, Q, C) and boxes (N, Q, 4) of the last layer, in inference."""
        self.set_training(False)
        with jt.no_grad():
            memory, sizes = self.memory(images_NCHW)
            return self.decoder.decode(memory, sizes, self.decoder.select(memory, sizes))[-1]

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of every image, (P, 5) float32 xyxy + score, best first.

        A query's score is its highest class score. `sizes_N2` (height, width) before padding:
        boxes are clipped to it.
        """
        prediction = self.predict(images_NCHW)
        scores_NQ = jt.sigmoid(prediction.logits.max(dim=-1)).numpy()
        canvas = np.tile(np.array(images_NCHW.shape[2:]), (len(sizes_N2), 1))
        return proposals(absolute_boxes(prediction.boxes, canvas), scores_NQ, sizes_N2)

    def detect(
        self, images_NCHW: jt.Var, sizes_N2: np.ndarray, max_detections: int = MAX_DETECTIONS
    ) -> list[Detected]:
        """The best pairs of query and class of every image, in pixels of the padded images.

        Neither clipped to `sizes_N2` nor suppressed; a query may appear with several labels.
        rtdetr_postprocessor.py.
        """
        prediction = self.predict(images_NCHW)
        scores_NQC = jt.sigmoid(prediction.logits).numpy()
        canvas = np.tile(np.array(images_NCHW.shape[2:]), (len(sizes_N2), 1))
        boxes_NQ4 = absolute_boxes(prediction.boxes, canvas)
        images = zip(boxes_NQ4, scores_NQC, strict=True)
        return [best_pairs(boxes, scores, max_detections) for boxes, scores in images]


def best_pairs(boxes_Q4: np.ndarray, scores_QC: np.ndarray, limit: int) -> Detected:
    """The best pairs of query and class."""
    classes = scores_QC.shape[1]
    order = np.argsort(-scores_QC.ravel(), kind="stable")[:limit]
    return Detected(boxes_Q4[order // classes], scores_QC.ravel()[order], order % classes)
