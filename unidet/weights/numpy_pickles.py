"""numpy arrays in pickles, rebuilt without calling numpy's own unpickling code.

Pickles of arrays name numpy's `_reconstruct` (or `_frombuffer`), `ndarray` and `dtype`, and set
their state. Here plain records stand for them, and only arrays of numbers come out.
Source: numpy/core/src/multiarray/{methods,descriptor}.c, `__reduce__` and `__reduce_ex__`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.weights.stand_ins import Unaltered, brief, sides

_NUMBERS = re.compile(r"[<>|=]?([biuf][1248]|b1|\?)$")


class PickledType:
    """Stands for a numpy.dtype, which is asked for only where its array is."""

    def __init__(self, code: Any, *_: Any) -> None:
        self._code = code
        self._state: Any = (3, "<", None, None, None)

    def __setstate__(self, state: Any) -> None:
        """(version, byte order, subarray, names, fields, size, alignment, …)."""
        self._state = state

    def dtype(self) -> np.dtype[Any]:
        """UserError where it is no type of numbers."""
        code, state = self._code, self._state
        if not isinstance(code, str) or not _NUMBERS.match(code):
            raise UserError(f"it holds an array of {brief(code)}, which is no type of numbers")
        if not (isinstance(state, tuple) and len(state) > 4 and state[1] in ("<", ">", "|", "=")):
            raise UserError(f"malformed type of an array: its state is {brief(state)}")
        if any(part is not None for part in state[2:5]):
            raise UserError("it holds an array of records, not of numbers")
        return np.dtype(code.lstrip("<>|=")).newbyteorder(">" if state[1] == ">" else "<")


class PickledArray:
    """Stands for a numpy.ndarray; `array` gives it once its state has arrived."""

    def __init__(self, *_: Any) -> None:
        self._state: tuple[Any, ...] | None = None

    def __setstate__(self, state: Any) -> None:
        """(version, shape, type, in Fortran's order, bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise UserError(f"malformed array: its state is {brief(state)}")
        self._state = state

    @property
    def size(self) -> int:
        """Bytes of its elements."""
        data = None if self._state is None else self._state[-1]
        return len(data) if isinstance(data, (bytes, bytearray)) else 0

    def array(self, _name: str = "") -> np.ndarray:
        """UserError where shape, type and bytes do not belong together."""
        if self._state is None:
            raise UserError("the bytes of an array are missing")
        _, shape, kind, fortran, data = self._state
        return _array(data, kind, shape, "F" if fortran else "C")


@dataclass(frozen=True, eq=False)
class PickledScalar(Unaltered):
    """Stands for one number of numpy's."""

    kind: Any
    data: Any

    def number(self) -> Any:
        """UserError where type and bytes do not belong together."""
        return _array(self.data, self.kind, (), "C")[()]


def _array(data: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    dtype = kind.dtype() if isinstance(kind, PickledType) else None
    if dtype is None or not isinstance(data, (bytes, bytearray)):
        raise UserError("it holds an array whose type or bytes are malformed")
    if min(shape := sides(shape), default=0) < 0:
        raise UserError(f"it holds an array of malformed shape {shape}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise UserError(f"it holds an array of shape {shape} in {len(data)} bytes")
    view = np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
    return np.array(view, dtype=dtype.newbyteorder("="), order="C")


def _from_buffer(data: Any, kind: Any, shape: Any, order: Any) -> PickledArray:
    array = PickledArray()
    array.__setstate__((1, shape, kind, order == "F", data))
    return array


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes as protocol 2 writes them."""
    if not isinstance(text, str) or encoding != "latin1":
        raise UserError(f"it encodes text as {brief(encoding)}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Protocol 2 writes the bytes of an empty array as a call without arguments."""
    return b""


_INSIDE: dict[str, Callable[..., Any]] = {
    "multiarray._reconstruct": PickledArray,
    "multiarray.scalar": PickledScalar,
    "numeric._frombuffer": _from_buffer,
}
# numpy 2 calls its inside `_core`
_NAMES: dict[tuple[str, str], Callable[..., Any]] = {
    (f"numpy.{core}.{name.split('.')[0]}", name.split(".")[1]): stand_in
    for core in ("core", "_core")
    for name, stand_in in _INSIDE.items()
}
CALLABLES: dict[tuple[str, str], Callable[..., Any]] = {
    **_NAMES,
    ("numpy", "ndarray"): PickledArray,
    ("numpy", "dtype"): PickledType,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
}
