"""Outputs of a graph: detections sorted by score, or all boxes with all scores.

N images, B boxes of an image, C classes, D detections, K pairs that NMS keeps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unidet.export.graph import Port
from unidet.export.symbol import Free, Symbol

NOTHING = -1
"""Label of rows after the last detection; their score is 0."""


def add_output(value: Symbol, name: str, dtype: str, shape: Sequence[int | str], text: str) -> None:
    """Makes a value an output of its graph."""
    value.graph.add_named("Identity", [value.reference()], name)
    value.graph.outputs.append(Port(name, dtype, tuple(shape), text))


def add_every_box(boxes_NB4: Symbol, scores_NBC: Symbol) -> None:
    """Outputs `boxes` and `scores`, without NMS and sorting."""
    count, classes = scores_NBC.shape[1:]
    add_output(boxes_NB4, "boxes", "float32", ("N", count, 4), "x1, y1, x2, y2 in input pixels")
    text = "probability of each class for each box"
    add_output(scores_NBC, "scores", "float32", ("N", count, classes), text)


def add_detections(boxes_NB4: Symbol, scores_NBC: Symbol, most: int) -> None:
    """Outputs `boxes`, `scores` and `labels`: the best pairs of box and class with a score > 0.

    The outputs have min(`most`, B * C) rows. Of equal scores the lower box comes first, then the
    lower class.
    """
    images, boxes, classes = scores_NBC.shape
    count = min(most, boxes * classes)
    scores_ND, pairs_ND = top_k(scores_NBC.reshape(images, boxes * classes), count)
    labels_ND = pairs_ND.node("Mod", np.int64(classes), shape=pairs_ND.shape)
    chosen_ND = pairs_ND.node("Div", np.int64(classes), shape=pairs_ND.shape)
    is_any = scores_ND.node("Greater", 0.0, shape=scores_ND.shape)
    labels_ND = is_any.node("Where", labels_ND, np.int64(NOTHING), shape=labels_ND.shape)
    add_output(
        rows_at(boxes_NB4, chosen_ND),
        *("boxes", "float32", ("N", count, 4), "x1, y1, x2, y2 in input pixels, best first"),
    )
    add_output(scores_ND, "scores", "float32", ("N", count), "0 beyond the last detection")
    add_output(labels_ND, "labels", "int64", ("N", count), "rows of the names, -1 beyond the last")


def top_k(values_NX: Symbol, count: int) -> tuple[Symbol, Symbol]:
    """The `count` largest values of each row, largest first, and their indices (int64)."""
    graph, shape = values_NX.graph, [values_NX.shape[0], count]
    size = Symbol.constant(graph, np.array([count], np.int64))
    inputs = [values_NX.reference(), size.reference()]
    best, places = graph.add("TopK", inputs, 2, axis=1, largest=1, sorted=1)
    return Symbol(graph, best, shape), Symbol(graph, places, shape)


def rows_at(values_NBX: Symbol, places_ND: Symbol) -> Symbol:
    """(N, D, X): for each image, the rows at the given indices."""
    images, count = places_ND.shape
    width = values_NBX.shape[2]
    repeats = np.array([1, 1, width], np.int64)
    shape = [images, count, width]
    indices = places_ND.unsqueeze(2).node("Tile", repeats, shape=shape)
    return values_NBX.node("GatherElements", indices, shape=shape, axis=1)


def suppressed(
    boxes_NB4: Symbol, scores_NBC: Symbol, *, iou_threshold: float, score_threshold: float
) -> Symbol:
    """The scores (N, B, C) after class-wise NMS; suppressed ones are 0."""
    pairs_K3 = _kept_pairs(boxes_NB4, scores_NBC, iou_threshold, score_threshold)
    shape = scores_NBC.shape
    kept_K = scores_NBC.node("GatherND", pairs_K3, shape=pairs_K3.shape[:1])
    sizes = scores_NBC.node("Shape", shape=[len(shape)])
    zeros = sizes.node("ConstantOfShape", shape=shape)
    return zeros.node("ScatterND", pairs_K3, kept_K, shape=shape)


def _kept_pairs(
    boxes_NB4: Symbol, scores_NBC: Symbol, iou_threshold: float, score_threshold: float
) -> Symbol:
    """(K, 3) int64: image, box and class of each pair that NMS keeps."""
    graph, boxes = boxes_NB4.graph, boxes_NB4.shape[1]
    limits = (
        Symbol.constant(graph, np.array([value], kind))
        for value, kind in (
            (boxes, np.int64),
            (iou_threshold, np.float32),
            (score_threshold, np.float32),
        )
    )
    found_K3 = boxes_NB4.node(
        "NonMaxSuppression", scores_NBC.transpose(0, 2, 1), *limits, shape=[Free(boxes), 3]
    )
    order = np.array([0, 2, 1], np.int64)  # the operator returns the class before the box
    return found_K3.node("Gather", order, shape=found_K3.shape, axis=1)
