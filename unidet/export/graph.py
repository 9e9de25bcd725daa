"""A graph of ONNX operators under construction: plain records, without the package `onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

OPSET = 17
"""LayerNormalization is of 17, GridSample and RoiAlign as ours are of 16."""
FLOAT, INT64 = 1, 7
"""Types as `Cast` takes them."""


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
        dtype: numpy's name.
        shape: a text is the name of a dynamic dimension.
        text: what it holds, for readers.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    text: str


class Graph:
    """Nodes in the order in which they run, constants by name, inputs and outputs.

    Attributes:
        scope: the module whose code is running, a prefix of node names.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: list[Port] = []
        self.outputs: list[Port] = []
        self.scope = ""
        self._count = 0

    def add(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> list[str]:
        """A node; the names of its outputs."""
        name = self._name(op)
        made = [name if index == 0 else f"{name}.{index}" for index in range(outputs)]
        self.nodes.append(Node(op, name, list(inputs), made, attributes))
        return made

    def add_named(self, op: str, inputs: Sequence[str], output: str) -> None:
        """A node whose output has a name of its own."""
        self.nodes.append(Node(op, output, list(inputs), [output], {}))

    def constant(self, value: np.ndarray, name: str | None = None) -> str:
        """The name of a constant; an existing equal one is reused."""
        name = name or self._name("constant")
        self.constants.setdefault(name, value)
        return name

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self.scope}/{what}_{self._count}" if self.scope else f"{what}_{self._count}"
