"""RT-DETR's decoder: the best memory cells become queries, whose boxes each layer refines.

N images, S cells of all levels, Q queries, D denoising queries, C classes, W width. Boxes are
cxcywh in units of the image's sides, references their logits. Parameter names are the official
ones. Source: RT-DETR src/zoo/rtdetr/rtdetr_decoder.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import jittor as jt
import numpy as np
from jittor import nn

from unidet.models.layers import flat_cells
from unidet.models.rtdetr.conv_blocks import ConvNorm
from unidet.models.rtdetr.decoder_layer import DecoderLayer, Sizes
from unidet.models.rtdetr.denoising import LOGIT_FLOOR, DenoisingQueries
from unidet.models.set_prediction import Prediction
from unidet.models.transformer_layers import FORBIDDEN, MLP, LayerNorm
from unidet.ops.losses import one_hot

WIDTH, HEADS, POINTS, HIDDEN = 256, 8, 4, 1024
ANCHOR_SIDE = 0.05
ANCHOR_MARGIN = 0.01
PRIOR = 0.01
"""Score that every class starts with."""


def anchor_logits(sizes: Sizes) -> tuple[np.ndarray, np.ndarray]:
    """A square box per cell, as logits (S, 4), and whether it is valid (S,).

    Sides are 0.05 x 2^level of the image; a box with a coordinate outside 0.01 .. 0.99 is invalid
    and its logits are infinite. rtdetr_decoder.py `_generate_anchors`.
    """
    levels = []
    for level, (height, width) in enumerate(sizes):
        y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
        side = np.full(x.shape, ANCHOR_SIDE * 2.0**level)
        centres = ((x + 0.5) / width, (y + 0.5) / height)
        levels.append(np.stack([*centres, side, side], axis=-1).reshape(-1, 4))
    anchors = np.concatenate(levels).astype(np.float32)
    valid = ((anchors > ANCHOR_MARGIN) & (anchors < 1 - ANCHOR_MARGIN)).all(axis=1)
    logits = np.log(anchors / (1 - anchors))
    return np.where(valid[:, None], logits, np.float32(np.inf)), valid


def logit(values: jt.Var) -> jt.Var:
    """log(x / (1 - x)), both at least 1e-5."""
    values = jt.clamp(values, 0.0, 1.0)
    return jt.log(jt.maximum(values, LOGIT_FLOOR) / jt.maximum(1 - values, LOGIT_FLOOR))


@dataclass(frozen=True)
class Selection:
    """The cells that become queries, best first.

    Attributes:
        cells: (N, Q) int64.
        scores: (N, S) every cell's highest class logit.
        prediction: what the encoder's heads say of the chosen; has gradients.
        content: (N, Q, W), detached.
        references: (N, Q, 4), detached; infinite for an invalid anchor.
    """

    cells: np.ndarray
    scores: np.ndarray
    prediction: Prediction
    content: jt.Var
    references: jt.Var


class _Layers(nn.Module):
    def __init__(self, layers: Sequence[DecoderLayer]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)


class Decoder(nn.Module):
    """Predictions from the encoder's maps.

    Args:
        in_channels: of every map.
        levels: number of maps, finest at stride 8.
        classes: C.
        layers: decoder layers.
        queries: Q.
    """

    def __init__(
        self, in_channels: int, *, levels: int, classes: int, layers: int, queries: int
    ) -> None:
        super().__init__()
        self.classes, self.queries = classes, queries
        self.input_proj = nn.Sequential(
            *(ConvNorm(in_channels, WIDTH, 1, activate=False) for _ in range(levels))
        )
        self.decoder = _Layers(
            [DecoderLayer(WIDTH, HEADS, levels, POINTS, HIDDEN) for _ in range(layers)]
        )
        self.denoising_class_embed = nn.Embedding(classes + 1, WIDTH)
        self.query_pos_head = MLP(4, 2 * WIDTH, WIDTH)
        self.enc_output = nn.Sequential(nn.Linear(WIDTH, WIDTH), LayerNorm(WIDTH))
        self.enc_score_head = nn.Linear(WIDTH, classes)
        self.enc_bbox_head = MLP(WIDTH, WIDTH, WIDTH, 4)
        self.dec_score_head = nn.Sequential(*(nn.Linear(WIDTH, classes) for _ in range(layers)))
        self.dec_bbox_head = nn.Sequential(*(MLP(WIDTH, WIDTH, WIDTH, 4) for _ in range(layers)))
        self._initialize()

    def _initialize(self) -> None:
        """rtdetr_decoder.py `_reset_parameters`."""
        for head in [self.enc_score_head, *self.dec_score_head]:
            jt.init.constant_(head.bias, -math.log((1 - PRIOR) / PRIOR))
        for head in [self.enc_bbox_head, *self.dec_bbox_head]:
            jt.init.constant_(head.layers[-1].weight, 0.0)
            jt.init.constant_(head.layers[-1].bias, 0.0)
        for layer in [self.enc_output[0], *self.query_pos_head.layers]:
            jt.init.xavier_uniform_(layer.weight)
        for layer in self.decoder.layers:
            jt.init.xavier_uniform_(layer.self_attn.in_proj_weight)
        table = jt.init.gauss((self.classes, WIDTH), std=1.0)
        self.denoising_class_embed.weight.assign(jt.concat([table, jt.zeros((1, WIDTH))], dim=0))

    def memory(self, feats: Sequence[jt.Var]) -> tuple[jt.Var, Sizes]:
        """All cells (N, S, W), level after level, each row by row; heights and widths."""
        levels = [project(level) for project, level in zip(self.input_proj, feats, strict=True)]
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        return jt.concat([flat_cells(level) for level in levels], dim=1), sizes

    def select(self, memory_NSW: jt.Var, sizes: Sizes) -> Selection:
        """The Q cells of highest class score; all of them where there are fewer."""
        anchors, valid = anchor_logits(sizes)
        images, cells = memory_NSW.shape[:2]
        mask = jt.array(valid.astype(np.float32)[None, :, None])
        with jt.no_grad():
            logits = self.enc_score_head(self.enc_output(memory_NSW * mask))
            scores = logits.max(dim=-1).numpy()
        best = np.argsort(-scores, axis=1, kind="stable")[:, : self.queries]
        flat = (np.arange(images)[:, None] * cells + best).ravel().astype(np.int32)
        rows = memory_NSW.reshape(images * cells, WIDTH)[jt.array(flat)]
        rows = rows.reshape(images, -1, WIDTH) * jt.array(valid[best].astype(np.float32)[..., None])
        content = self.enc_output(rows)
        references = self.enc_bbox_head(content) + jt.array(anchors[best])
        prediction = Prediction(self.enc_score_head(content), jt.sigmoid(references))
        return Selection(best, scores, prediction, content.detach(), references.detach())

    def decode(
        self,
        memory_NSW: jt.Var,
        sizes: Sizes,
        selection: Selection,
        denoising: DenoisingQueries | None = None,
        all_layers: bool = False,
    ) -> list[Prediction]:
        """The last layer's prediction, or with `all_layers` each one's, (N, D + Q) queries each.

        A layer's box starts from the box before it: for the reference without gradient, for the
        prediction with it ("look forward twice", arXiv 2203.03605, 3.5).
        """
        content, references, mask = self._queries(selection, denoising)
        boxes = jt.sigmoid(references)
        predictions: list[Prediction] = []
        before = boxes
        last = len(self.decoder.layers) - 1
        for index, layer in enumerate(self.decoder.layers):
            positions = self.query_pos_head(boxes)
            content = layer(content, positions, boxes, memory_NSW, sizes, mask)
            step = self.dec_bbox_head[index](content)
            refined = jt.sigmoid(step + logit(boxes))
            if all_layers or index == last:
                predicted = jt.sigmoid(step + logit(before)) if all_layers and index else refined
                predictions.append(Prediction(self.dec_score_head[index](content), predicted))
            before, boxes = refined, refined.detach()
        return predictions

    def _queries(
        self, selection: Selection, denoising: DenoisingQueries | None
    ) -> tuple[jt.Var, jt.Var, jt.Var | None]:
        """Content, references and attention mask of all queries, the denoising ones first."""
        if denoising is None:
            return selection.content, selection.references, None
        embedded = self.embedded(denoising.labels)
        content = jt.concat([embedded, selection.content], dim=1)
        denoising_logits = jt.array(denoising.references)
        references = jt.concat([denoising_logits, selection.references], dim=1)
        blocked = denoising.mask(selection.content.shape[1])
        mask = jt.array(np.where(blocked, FORBIDDEN, 0).astype(np.float32))
        return content, references, mask

    def embedded(self, labels_ND: np.ndarray) -> jt.Var:
        """Label embeddings (N, D, W); the padding label's has no gradient."""
        table = self.denoising_class_embed.weight
        table = jt.concat([table[: self.classes], table[self.classes :].detach()], dim=0)
        rows = jt.matmul(jt.array(one_hot(labels_ND.ravel(), self.classes + 1)), table)
        return rows.reshape(*labels_ND.shape, WIDTH)
