"""Saves a graph as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unidet.errors import UserError
from unidet.export.folding import fold_batch_norms
from unidet.export.graph import OPSET, Graph, Node, Port
from unidet.store.disk import whole_file

if TYPE_CHECKING:
    import onnx

IR_VERSION = 8
"""Of ONNX 1.12, the first with opset 17: the oldest runtimes that support it read the file."""


def need_onnx() -> None:
    """Raises UserError if the package onnx is not installed."""
    try:
        import onnx  # noqa: F401
    except ModuleNotFoundError:
        raise UserError(
            "export-onnx: needs the package onnx; run: pip install 'unidet[export]'"
        ) from None


def save_graph(graph: Graph, path: Path, metadata: Mapping[str, str]) -> None:
    """Writes the model atomically.

    Raises:
        UserError: the file cannot be written.
    """
    import onnx

    model = checked_model(graph, metadata)
    with whole_file(path) as partial:
        onnx.save_model(model, str(partial))


def checked_model(graph: Graph, metadata: Mapping[str, str]) -> onnx.ModelProto:
    """The ONNX model of a graph: batch norms folded, unused constants removed.

    Changes `graph`. `onnx` checks the model, types and shapes included.
    """
    import onnx
    from onnx import helper

    fold_batch_norms(graph)
    read = {name for node in graph.nodes for name in node.inputs}
    made = helper.make_graph(
        [_node(node) for node in graph.nodes],
        "unidet",
        [_port(port) for port in graph.inputs],
        [_port(port) for port in graph.outputs],
        [_constant(name, array) for name, array in graph.constants.items() if name in read],
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, opset_imports=[opset], producer_name="unidet")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    return model


def _node(node: Node) -> onnx.NodeProto:
    """An ONNX node; its list attributes become Python integers."""
    from onnx import helper

    attributes: dict[str, Any] = {
        name: [int(item) for item in value] if isinstance(value, list) else value
        for name, value in node.attributes.items()
    }
    return helper.make_node(node.op, node.inputs, node.outputs, name=node.name, **attributes)


def _constant(name: str, array: np.ndarray) -> onnx.TensorProto:
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(array, order="C"), name)


def _port(port: Port) -> onnx.ValueInfoProto:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, kind, port.shape, port.text)
