"""A graph of ONNX operators under construction, in plain records without the package `onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OPSET = 17
"""The first with LayerNormalization; GridSample and RoiAlign have our semantics since 16."""
FLOAT, INT64 = 1, 7
"""ONNX element types for `Cast`."""


@dataclass
class Node:
    """One operator; `inputs` and `outputs` are names of values."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class Port:
    """An input or output of the whole graph.

    Attributes:
        dtype: name of the numpy type.
        shape: sides; a text is the name of a dynamic dimension.
        text: description of the value.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    text: str


class Graph:
    """Nodes in execution order, constants by name, inputs and outputs.

    Attributes:
        scope: path of the module that is running; prefix of node names.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.scope = ""
        self._count = 0

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """Adds a node with generated names; returns the names of its outputs."""
        name = self._name(op)
        made = [name if index == 0 else f"{name}.{index}" for index in range(outputs)]
        self.nodes.append(Node(op, name, list(inputs), made, attributes))
        return made

    def add_named(self, op: str, inputs: Sequence[str], output: str) -> None:
        """Adds a node with one output of the given name."""
        self.nodes.append(Node(op, output, list(inputs), [output], {}))

    def constant(self, value: np.ndarray, name: str | None = None) -> str:
        """Adds a constant and returns its name; an existing constant of that name is kept."""
        name = name or self._name("constant")
        self.constants.setdefault(name, value)
        return name

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self.scope}/{what}_{self._count}" if self.scope else f"{what}_{self._count}"
