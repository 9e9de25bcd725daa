"""DETR with a ResNet-50: its training losses and its detections.

N images, Q queries, C classes, P proposals, W width. Source: Carion et al., arXiv 2005.12872;
detr 29901c51, models/detr.py, models/backbone.py.
"""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn

from unidet.config.networks import DETRConfig, ResNetConfig
from unidet.models.detr.criterion import (
    cardinality_error,
    class_error,
    layer_losses,
    match_queries,
)
from unidet.models.detr.positions import padding_mask, position_embedding
from unidet.models.detr.transformer import Transformer
from unidet.models.inference import pack_for_inference
from unidet.models.layers import convolve_bias, flat_cells, freeze_batch_norm
from unidet.models.matcher import Matches, Targets, relative_targets
from unidet.models.resnet import ResNet
from unidet.models.set_prediction import Prediction, absolute_boxes, proposals
from unidet.models.transformer_layers import MLP, set_dropout_training
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.sampling import BatchRandom, image_rng
from unidet.records import Batch, Detected

WIDTH, HEADS, HIDDEN, LAYERS = 256, 8, 2048, 6


class DETR(nn.Module):
    """Detector with one-to-one assignment: no anchors, no NMS.

    Images are normalized by ImageNet's mean and standard deviation and padded with zeros. The
    backbone sees the padding, as officially, so an image's result depends on its batch.

    Args:
        classes: C; 1 for proposals without a class. The official COCO model has 91, one for every
            number up to the largest category id.
    """

    def __init__(self, settings: DETRConfig, *, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.backbone = ResNet(_backbone(settings), outputs=(4,))
        self.transformer = Transformer(
            WIDTH, heads=HEADS, hidden=HIDDEN, layers=LAYERS, dropout=settings.dropout
        )
        self.class_embed = nn.Linear(WIDTH, classes + 1)
        self.bbox_embed = MLP(WIDTH, WIDTH, WIDTH, 4)
        self.query_embed = nn.Embedding(settings.queries, WIDTH)
        jt.init.gauss_(self.query_embed.weight, std=1.0)
        self.input_proj = nn.Conv(self.backbone.channels[-1], WIDTH, 1)
        pack_for_inference(self.backbone)
        if not settings.batch_norm_training:
            freeze_batch_norm(self.backbone)

    def set_training(self, training: bool) -> None:
        """Dropout, and the batch's statistics in norms that learn; or neither."""
        set_dropout_training(self, training)
        self.backbone.set_batch_norm_training(training and self.settings.batch_norm_training)

    def loss(self, batch: Batch, rng: BatchRandom | np.random.Generator) -> Losses:
        """Losses of one training batch; `class_error` and `cardinality_error` to log."""
        jt.core.set_seed(int(image_rng(rng, 0).integers(2**31)))  # of the dropout
        self.set_training(True)
        targets = self.targets(batch)
        layers = self.predictions(jt.array(batch.images_NCHW), batch.sizes_N2)
        matches = self.matches(layers, targets)
        errors = {
            "class_error": class_error(layers[-1], matches[-1], targets),
            "cardinality_error": cardinality_error(layers[-1], targets),
        }
        logged = {name: LossTerm(jt.array([error]), 1.0) for name, error in errors.items()}
        return {**self.losses(layers, matches, targets), **logged}

    def targets(self, batch: Batch) -> Targets:
        """The ground truth in units of the images' own sides."""
        return relative_targets(batch, batch.sizes_N2, drop_empty=self.settings.compat == "default")

    def matches(self, layers: list[Prediction], targets: Targets) -> list[Matches]:
        """Each layer's queries with the boxes that they learn."""
        return [match_queries(prediction, targets) for prediction in layers]

    def losses(self, layers: list[Prediction], matches: list[Matches], targets: Targets) -> Losses:
        """`loss_ce`, `loss_bbox`, `loss_giou` of the last layer, with `_i` those of layer i before
        it."""
        losses: dict[str, LossTerm] = {}
        suffixes = [f"_{index}" for index in range(len(layers) - 1)] + [""]
        for suffix, layer, matched in zip(suffixes, layers, matches, strict=True):
            terms = layer_losses(layer, matched, targets)
            losses |= {name + suffix: term for name, term in terms.items()}
        return losses

    def predictions(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[Prediction]:
        """Every decoder layer's logits (N, Q, C + 1) and boxes (N, Q, 4), cxcywh in units of the
        images' own sides, `sizes_N2` (height, width) before padding."""
        return [self._heads(queries) for queries in self._decoded(images_NCHW, sizes_N2)]

    def projected(self, images_NCHW: jt.Var) -> jt.Var:
        """The map that the transformer takes, (N, WIDTH, H, W), or its blocks."""
        return convolve_bias(self.backbone(images_NCHW)[-1], self.input_proj)

    def _decoded(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[jt.Var]:
        feats = self.projected(images_NCHW)
        height, width = images_NCHW.shape[2:]
        mask = padding_mask(np.asarray(sizes_N2), (height, width), tuple(feats.shape[2:4]))
        positions = jt.array(position_embedding(mask, WIDTH))
        cells, places = flat_cells(feats), flat_cells(positions)
        return self.transformer(cells, places, self.query_embed.weight, mask.reshape(len(mask), -1))

    def _heads(self, queries_NQW: jt.Var) -> Prediction:
        return Prediction(self.class_embed(queries_NQW), jt.sigmoid(self.bbox_embed(queries_NQW)))

    def predict(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> Prediction:
        """The last layer's, in inference."""
        self.set_training(False)
        with jt.no_grad():
            return self.predictions(images_NCHW, sizes_N2)[-1]

    def propose(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[np.ndarray]:
        """Proposals of every image, (P, 5) float32 xyxy + score, best first, clipped to the image.

        A query's score is its highest class score.
        """
        prediction = self.predict(images_NCHW, sizes_N2)
        scores_NQ = class_scores(prediction.logits).max(axis=2)
        return proposals(absolute_boxes(prediction.boxes, sizes_N2), scores_NQ, sizes_N2)

    def detect(self, images_NCHW: jt.Var, sizes_N2: np.ndarray) -> list[Detected]:
        """Every query of every image with its best class, in pixels; not clipped.

        models/detr.py `PostProcess`.
        """
        prediction = self.predict(images_NCHW, sizes_N2)
        boxes_NQ4 = absolute_boxes(prediction.boxes, sizes_N2)
        scores_NQC = class_scores(prediction.logits)
        return [best_classes(*image) for image in zip(boxes_NQ4, scores_NQC, strict=True)]


def _backbone(settings: DETRConfig) -> ResNetConfig:
    """ResNet-50, every field spelt out: a default of the schema is no part of a key."""
    return ResNetConfig(
        kind="resnet",
        style="torchvision",
        block="bottleneck",
        width=64,
        blocks=(3, 4, 6, 3),
        strides=(1, 2, 2, 2),
        stem_stride=4,
        frozen_stages=settings.frozen_stages,
    )


def class_scores(logits: jt.Var) -> np.ndarray:
    """Softmax (N, Q, C), "no object" left out."""
    return nn.softmax(logits, dim=-1).numpy()[..., :-1]


def best_classes(boxes_Q4: np.ndarray, scores_QC: np.ndarray) -> Detected:
    """Each query's best class, best query first."""
    scores = scores_QC.max(axis=1)
    order = np.argsort(-scores, kind="stable")
    return Detected(boxes_Q4[order], scores[order], scores_QC.argmax(axis=1)[order])
