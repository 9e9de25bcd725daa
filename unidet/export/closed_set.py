"""Closed-set detectors as graphs, from pixels to detections.

N images, B boxes per image, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jittor as jt
import numpy as np
from jittor import nn

from unidet.export.detections import add_detections, add_every_box, rows_at, suppressed, top_k
from unidet.export.graph import Graph
from unidet.export.images import Pixels, add_images
from unidet.export.symbol import Symbol
from unidet.export.tracing import tracing
from unidet.models.nanodet_plus import detector as nanodet_plus
from unidet.models.nanodet_plus.detector import NanoDetPlus
from unidet.models.rtdetr import network as rtdetr
from unidet.models.rtdetr.decoder import Selection, anchor_logits
from unidet.models.rtdetr.decoder_layer import Sizes
from unidet.models.rtdetr.network import RTDETR
from unidet.models.set_prediction import Prediction
from unidet.ops.boxes import cxcywh_to_xyxy

FARTHEST_LOGIT = 1e4
"""Replaces infinite logits, which become NaN in half precision."""
Boxes = tuple[Symbol, Symbol]
"""Boxes (N, B, 4) xyxy in input pixels, and probabilities (N, B, C)."""


@dataclass(frozen=True)
class _Head:
    """A detector's parts of the graph.

    Attributes:
        boxes: from the network and normalized images to boxes and scores.
        suppress: from boxes and scores to scores after NMS.
        most: maximum number of detections.
    """

    boxes: Callable[[Any, Symbol], Boxes]
    suppress: Callable[[Symbol, Symbol], Symbol]
    most: int


def closed_set_graph(
    network: nn.Module,
    pixels: Pixels,
    size: tuple[int, int],
    classes: Sequence[int],
    *,
    every_box: bool,
) -> Graph:
    """The graph of a detector.

    Args:
        size: height and width of the input images, in pixels.
        classes: outputs of the network to keep; labels are indices into these.
        every_box: output all boxes and all scores, without NMS and sorting.

    Raises:
        KeyError: the network's type is not in `HEADS`.
    """
    head = HEADS[type(network)]
    with tracing(network) as graph:
        images = pixels.normalized(add_images(graph, *size))
        boxes_NB4, scores_NBC = head.boxes(network, images)
        if list(classes) != list(range(scores_NBC.shape[2])):
            chosen = np.array(classes, np.int64)
            shape = [*scores_NBC.shape[:2], len(chosen)]
            scores_NBC = scores_NBC.node("Gather", chosen, shape=shape, axis=2)
        if every_box:
            add_every_box(boxes_NB4, scores_NBC)
        else:
            scores_NBC = head.suppress(boxes_NB4, scores_NBC)
            add_detections(boxes_NB4, scores_NBC, head.most)
    return graph


def _nanodet_plus_boxes(network: NanoDetPlus, images_NCHW: Symbol) -> Boxes:
    height, width = images_NCHW.shape[2:]
    output: Any = network.predict(images_NCHW)
    limits = np.array([width, height, width, height], np.float32)
    boxes = jt.minimum(jt.maximum(output.boxes(), 0.0), limits)
    return boxes, jt.sigmoid(output.class_logits)


def _nanodet_plus_nms(boxes_NB4: Symbol, scores_NBC: Symbol) -> Symbol:
    return suppressed(
        boxes_NB4,
        scores_NBC,
        iou_threshold=nanodet_plus.IOU_THRESHOLD,
        score_threshold=nanodet_plus.SCORE_THRESHOLD,
    )


def _rtdetr_boxes(network: RTDETR, images_NCHW: Symbol) -> Boxes:
    height, width = images_NCHW.shape[2:]
    memory: Any
    memory, sizes = network.memory(images_NCHW)
    selection = _selection(network.decoder, memory, sizes)
    prediction: Any = network.decoder.decode(memory, sizes, selection)[-1]
    sides = np.array([width, height, width, height], np.float32)
    return cxcywh_to_xyxy(prediction.boxes) * sides, jt.sigmoid(prediction.logits)


def _selection(decoder: Any, memory_NSW: Symbol, sizes: Sizes) -> Any:
    """`Decoder.select` on symbols; the original sorts with numpy."""
    anchors, valid = anchor_logits(sizes)
    anchors = np.where(np.isinf(anchors), np.float32(FARTHEST_LOGIT), anchors)
    encoded_NSW = decoder.enc_output(memory_NSW * valid.astype(np.float32)[None, :, None])
    logits_NSC = decoder.enc_score_head(encoded_NSW)
    scores_NS = logits_NSC.max(dim=-1)
    best_NQ: Any = top_k(scores_NS, min(decoder.queries, len(anchors)))[1]
    content_NQW = rows_at(encoded_NSW, best_NQ)
    anchors_NQ4 = memory_NSW.like(anchors).node("Gather", best_NQ, shape=[*best_NQ.shape, 4])
    references_NQ4 = decoder.enc_bbox_head(content_NQW) + anchors_NQ4
    prediction: Any = Prediction(decoder.enc_score_head(content_NQW), jt.sigmoid(references_NQ4))
    return Selection(best_NQ, scores_NS, prediction, content_NQW, references_NQ4)


def _as_they_are(boxes_NB4: Symbol, scores_NBC: Symbol) -> Symbol:
    return scores_NBC


HEADS: dict[type, _Head] = {
    NanoDetPlus: _Head(_nanodet_plus_boxes, _nanodet_plus_nms, nanodet_plus.MAX_DETECTIONS),
    RTDETR: _Head(_rtdetr_boxes, _as_they_are, rtdetr.MAX_DETECTIONS),
}
