"""Symbols: tensors without values; operations on them add nodes to a graph.

A symbol has the operations of `jt.Var` that our networks use; others fail at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import jittor as jt
import numpy as np

from unidet.export.graph import Graph

Operand = Any
"""A symbol, a tensor, an array or a number."""
END = 2**63 - 1
"""End of a slice without end."""


class Free(int):
    """A dynamic dimension, such as the batch size, with an example value for tracing.

    Values computed from it are dynamic too.
    """


def _free(operation: str) -> Any:
    def method(self: Free, *others: int) -> Free:
        return Free(getattr(int, operation)(self, *others))

    return method


for _operation in ("add", "radd", "sub", "rsub", "mul", "rmul", "floordiv", "neg"):
    setattr(Free, f"__{_operation}__", _free(f"__{_operation}__"))


def is_free(side: int) -> bool:
    return isinstance(side, Free)


class Symbol:
    """A value in a graph.

    Attributes:
        name: in the graph; empty for a constant that is not added yet.
        shape: its sides; dynamic ones are `Free`.
        value: the array of a constant, else None.
    """

    def __init__(
        self, graph: Graph, name: str, shape: Sequence[int], value: np.ndarray | None = None
    ) -> None:
        self.graph, self.name, self.shape, self.value = graph, name, list(shape), value

    # --- creation ------------------------------------------------------------------------------

    @classmethod
    def constant(cls, graph: Graph, value: Operand, name: str | None = None) -> Symbol:
        """A constant from a tensor, an array or a number; float64 becomes float32, as in Jittor."""
        array = value.numpy() if isinstance(value, jt.Var) else np.asarray(value)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        array = np.ascontiguousarray(array).reshape(array.shape)
        return cls(graph, name or "", array.shape, array)

    def like(self, value: Operand) -> Symbol:
        """`value` as a symbol in this graph; Python numbers become float32."""
        if isinstance(value, Symbol):
            return value
        number = isinstance(value, int | float)
        return Symbol.constant(self.graph, np.float32(value) if number else value)

    def node(self, op: str, *others: Operand, shape: Sequence[int], **attributes: Any) -> Symbol:
        """The result of an operator on this symbol and others; `shape` is the result's."""
        inputs = [self, *map(self.like, others)]
        (name,) = self.graph.add(op, [value.reference() for value in inputs], **attributes)
        return Symbol(self.graph, name, shape)

    def reference(self) -> str:
        """The name as a node's input; adds a constant to the graph at its first use."""
        if self.value is not None:
            self.name = self.graph.constant(self.value, self.name or None)
        return self.name

    # --- arithmetic ----------------------------------------------------------------------------

    def elementwise(self, op: str, *others: Operand) -> Symbol:
        """The result of an operator that broadcasts."""
        shapes = [self.shape, *(self.like(other).shape for other in others)]
        return self.node(op, *others, shape=broadcast_shape(shapes))

    def __add__(self, other: Operand) -> Symbol:
        return self.elementwise("Add", other)

    def __radd__(self, other: Operand) -> Symbol:
        return self.like(other) + self

    def __sub__(self, other: Operand) -> Symbol:
        return self.elementwise("Sub", other)

    def __rsub__(self, other: Operand) -> Symbol:
        return self.like(other) - self

    def __mul__(self, other: Operand) -> Symbol:
        return self.elementwise("Mul", other)

    def __rmul__(self, other: Operand) -> Symbol:
        return self.like(other) * self

    def __truediv__(self, other: Operand) -> Symbol:
        return self.elementwise("Div", other)

    def __rtruediv__(self, other: Operand) -> Symbol:
        return self.like(other) / self

    # --- identities ----------------------------------------------------------------------------

    def float32(self) -> Symbol:
        return self

    def detach(self) -> Symbol:
        return self

    # --- shapes --------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def reshape(self, *sides: Any) -> Symbol:
        """As Jittor's; at most one side may be dynamic.

        Raises:
            ValueError: the shapes are incompatible, or a dynamic side would be lost.
        """
        given = list(sides[0]) if isinstance(sides[0], tuple | list) else list(sides)
        if self.value is not None:
            return Symbol.constant(self.graph, self.value.reshape(given))
        free = sum(map(is_free, self.shape))
        if free > 1:
            raise ValueError(f"reshape of {self.shape}, of which {free} sides are free")
        rest = int(prod(self.shape)) // abs(int(prod(given)))
        if free and not any(map(is_free, given)):
            rest = Free(rest)
        shape = [rest if side == -1 else side for side in given]
        if prod(shape) != prod(self.shape) or sum(map(is_free, shape)) != free:
            raise ValueError(f"reshape of {self.shape} to {given}: a free side is lost")
        target = np.array([-1 if is_free(side) else side for side in shape], np.int64)
        return self.node("Reshape", target, shape=shape)

    def transpose(self, *axes: Any) -> Symbol:
        """All axes in the given order."""
        order = list(axes[0]) if isinstance(axes[0], tuple | list) else list(axes)
        if self.value is not None:
            return Symbol.constant(self.graph, self.value.transpose(order))
        return self.node("Transpose", shape=[self.shape[axis] for axis in order], perm=order)

    permute = transpose

    def unsqueeze(self, axis: int) -> Symbol:
        shape = list(self.shape)
        shape.insert(axis, 1)
        if self.value is not None:
            return Symbol.constant(self.graph, self.value.reshape(shape))
        return self.node("Unsqueeze", np.array([axis], np.int64), shape=shape)

    def broadcast(self, like: Symbol, dims: Sequence[int] = ()) -> Symbol:
        """Inserts axes `dims` of length 1; the graph's operators broadcast implicitly."""
        broadcast_shape([like.shape, self.shape if not dims else [1]])
        placed = self
        for axis in sorted(dims):
            placed = placed.unsqueeze(axis)
        return placed

    def __getitem__(self, key: Any) -> Symbol:
        """Slices with step 1, and integers.

        Raises:
            ValueError: another step, or a part of a dynamic side.
        """
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            place = keys.index(Ellipsis)
            keys[place : place + 1] = [slice(None)] * (self.ndim - len(keys) + 1)
        keys += [slice(None)] * (self.ndim - len(keys))
        if self.value is not None:
            return Symbol.constant(self.graph, self.value[tuple(keys)])
        cut, single = self, []
        bounds: list[tuple[int, int, int]] = []
        shape = list(self.shape)
        for axis, (wanted, side) in enumerate(zip(keys, self.shape, strict=True)):
            if isinstance(wanted, int):
                wanted = slice(wanted, wanted + 1 if wanted != -1 else None)
                single.append(axis)
            if wanted == slice(None):
                continue
            if is_free(side):
                raise ValueError(f"a part of the free side {axis} of {self.shape}")
            first, end, step = wanted.indices(side)
            if step != 1:
                raise ValueError(f"a slice of step {step}")
            bounds.append((axis, first, end))
            shape[axis] = end - first
        if bounds:
            axes, starts, ends = (np.array(part, np.int64) for part in zip(*bounds, strict=True))
            cut = self.node("Slice", starts, ends, axes, shape=shape)
        if not single:
            return cut
        left = [side for axis, side in enumerate(shape) if axis not in single]
        return cut.node("Squeeze", np.array(single, np.int64), shape=left)

    # --- reductions ----------------------------------------------------------------------------

    def sum(self, dim: int, keepdims: bool = False) -> Symbol:
        axes = np.array([dim % self.ndim], np.int64)
        shape = self._reduced([dim], keepdims)
        return self.node("ReduceSum", axes, shape=shape, keepdims=int(keepdims))

    def mean(
        self, dim: int | None = None, dims: Sequence[int] = (), keepdims: bool = False
    ) -> Symbol:
        return self._reduce("ReduceMean", dims if dim is None else [dim], keepdims)

    def max(self, dim: int, keepdims: bool = False) -> Symbol:
        return self._reduce("ReduceMax", [dim], keepdims)

    def _reduce(self, op: str, dims: Sequence[int], keepdims: bool) -> Symbol:
        axes = [dim % self.ndim for dim in dims]
        shape = self._reduced(axes, keepdims)
        return self.node(op, shape=shape, axes=axes, keepdims=int(keepdims))

    def _reduced(self, dims: Sequence[int], keepdims: bool) -> list[int]:
        axes = {dim % self.ndim for dim in dims}
        sides = [1 if axis in axes else side for axis, side in enumerate(self.shape)]
        return [side for axis, side in enumerate(sides) if keepdims or axis not in axes]


def broadcast_shape(shapes: Sequence[Sequence[int]]) -> list[int]:
    """The broadcast shape of operands.

    Raises:
        ValueError: the shapes do not broadcast, or a fixed side equals a dynamic side's example.
    """
    longest = max(map(len, shapes))
    filled = [[1] * (longest - len(shape)) + list(shape) for shape in shapes]
    common = []
    for sides in zip(*filled, strict=True):
        wide = [side for side in sides if is_free(side) or side != 1] or [1]
        if len({(int(side), is_free(side)) for side in wide}) > 1:
            raise ValueError(f"shapes {[list(shape) for shape in shapes]} do not broadcast")
        common.append(wide[0])
    return common
