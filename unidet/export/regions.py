"""UniDetector's second stage as a graph: classifies given regions with a fixed vocabulary.

N images, R regions of all images, C names, D length of an embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jittor as jt
import numpy as np

from unidet.export.detections import add_output
from unidet.export.functions import clamp, matmul
from unidet.export.graph import FLOAT, INT64, Graph, Port
from unidet.export.images import EXAMPLES, Pixels, add_images
from unidet.export.symbol import Free, Symbol
from unidet.export.tracing import tracing
from unidet.models.roi_classifier import RoiClassifier
from unidet.ops.coders import decode_deltas
from unidet.ops.vectors import l2_normalize

EXAMPLE_REGIONS = 11
"""Of a dynamic number of regions; must differ from all fixed sides."""


@dataclass(frozen=True)
class Names:
    """The vocabulary with the classifier (`evaluation.detections.TextClassifier`) and the fusion.

    Attributes:
        embeddings_CD: of unit length.
        scale, bias: probability = sigmoid(scale * cosine + bias).
        limit: maximum absolute value of that logit.
        beta: score = probability ^ beta * objectness ^ (1 - beta).
    """

    embeddings_CD: np.ndarray
    scale: float
    bias: float
    limit: float
    beta: float

    def scores(self, embeddings_RD: Symbol, objectness_R: Symbol) -> Symbol:
        """(R, C) scores in [0, 1] from (R, D) embeddings and (R,) objectness."""
        cosines = matmul(embeddings_RD, embeddings_RD.like(self.embeddings_CD.T))
        logits = clamp(cosines * self.scale + self.bias, -self.limit, self.limit)
        weight = objectness_R.unsqueeze(1).elementwise("Pow", 1 - self.beta)
        return jt.sigmoid(logits).elementwise("Pow", self.beta) * weight


def regions_graph(network: RoiClassifier, pixels: Pixels, names: Names) -> Graph:
    """The graph of a second stage: boxes, scores and embeddings of given regions, without NMS."""
    with tracing(network) as graph:
        images = add_images(graph, None, None)
        sizes_N2 = _input(graph, "sizes", "int64", ("N", 2), "height, width without padding")
        text = "image's row, then x1, y1, x2, y2 in pixels of images"
        rois_R5: Any = _input(graph, "rois", "float32", ("R", 5), text)
        text = "score of the region as an object of any name, 0 to 1"
        objectness_R = _input(graph, "objectness", "float32", ("R",), text)
        images_NCHW = _without_padding(pixels.normalized(images), sizes_N2)
        feats: Any = network.features(images_NCHW)
        features: Any = network.region_features(feats, rois_R5)
        pooled = network.pool(network.shared_layer(features))
        embeddings = l2_normalize(pooled, 1)
        boxes: Any = decode_deltas(rois_R5[:, 1:], network.box_regressor(pooled))
        scores = names.scores(embeddings, objectness_R)
        count, width = names.embeddings_CD.shape
        text = "x1, y1, x2, y2 in input pixels, not suppressed"
        add_output(_clipped(boxes, sizes_N2, rois_R5), "boxes", "float32", ("R", 4), text)
        add_output(scores, "scores", "float32", ("R", count), "of each name")
        add_output(embeddings, "embeddings", "float32", ("R", width), "of unit length")
    return graph


def _input(graph: Graph, name: str, dtype: str, shape: tuple[int | str, ...], text: str) -> Symbol:
    graph.inputs.append(Port(name, dtype, shape, text))
    examples = {"N": Free(EXAMPLES), "R": Free(EXAMPLE_REGIONS)}
    return Symbol(
        graph, name, [examples[side] if isinstance(side, str) else side for side in shape]
    )


def _without_padding(images_NCHW: Symbol, sizes_N2: Symbol) -> Symbol:
    """Images with zeros in the padding at the right and bottom; `sizes_N2` is height, width."""
    graph, count = images_NCHW.graph, images_NCHW.shape[0]
    shape = images_NCHW.node("Shape", shape=[4])
    inside = images_NCHW
    for axis, (place, target) in enumerate(((2, (1, 1, -1, 1)), (3, (1, 1, 1, -1)))):
        side = shape.node("Gather", np.int64(place), shape=[])
        zero, one = (Symbol.constant(graph, np.array(value, np.int64)) for value in (0, 1))
        (name,) = graph.add("Range", [zero.reference(), side.reference(), one.reference()])
        length = images_NCHW.shape[place]
        cells = Symbol(graph, name, [length]).node(
            "Reshape", np.array(target, np.int64), shape=[1 if s == 1 else length for s in target]
        )
        limits = sizes_N2[:, axis].node(
            "Reshape", np.array([-1, 1, 1, 1], np.int64), shape=[count, 1, 1, 1]
        )
        inner = cells.elementwise("Less", limits)
        inside = inside * inner.node("Cast", shape=inner.shape, to=FLOAT)
    return inside


def _clipped(boxes_R4: Symbol, sizes_N2: Symbol, rois_R5: Symbol) -> Symbol:
    """Boxes (R, 4) clipped to their images."""
    rows_R = rois_R5[:, 0].node("Cast", shape=rois_R5.shape[:1], to=INT64)
    order, shape = np.array([1, 0, 1, 0], np.int64), [sizes_N2.shape[0], 4]
    sides_N4 = sizes_N2.node("Gather", order, shape=shape, axis=1)
    limits = sides_N4.node("Gather", rows_R, shape=boxes_R4.shape, axis=0)
    limits = limits.node("Cast", shape=boxes_R4.shape, to=FLOAT)
    return jt.minimum(jt.maximum(boxes_R4, 0.0), limits)
