"""Folds batch norms into the convolutions before them, as runtimes do when they load a model."""

from __future__ import annotations

from collections import Counter

import numpy as np

from unidet.export.graph import Graph, Node


def fold_batch_norms(graph: Graph) -> None:
    """Folds each norm whose convolution has no other reader. Changes `graph`."""
    readers = Counter(name for node in graph.nodes for name in node.inputs)
    makers = {name: node for node in graph.nodes for name in node.outputs}
    kept = []
    for node in graph.nodes:
        before = makers.get(node.inputs[0]) if node.op == "BatchNormalization" else None
        if before is not None and before.op == "Conv" and readers[before.outputs[0]] == 1:
            _fold(graph, before, node)
        else:
            kept.append(node)
    graph.nodes = kept


def _fold(graph: Graph, conv: Node, norm: Node) -> None:
    weight, bias, mean, variance = (
        graph.constants[name].astype(np.float64) for name in norm.inputs[1:]
    )
    scale = weight / np.sqrt(variance + norm.attributes["epsilon"])
    filters, *own_bias = (graph.constants[name] for name in conv.inputs[1:])
    shift = bias + (sum(own_bias) - mean) * scale
    folded = {
        f"{norm.name}.weight": filters * scale[:, None, None, None],
        f"{norm.name}.bias": shift,
    }
    graph.constants |= {name: array.astype(np.float32) for name, array in folded.items()}
    conv.inputs[1:] = list(folded)
    conv.outputs = norm.outputs
