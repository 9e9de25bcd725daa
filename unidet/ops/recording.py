"""Kernels that are recorded while a network's code runs, and then repeated by one call.

Jittor builds a graph for every image and holds Python's global lock while it computes. Here a
network's own code runs once, on maps without values. Kernels called with such a map (onednn.run)
are noted with their arrays and numbers; anything else refuses it. One C++ function then calls all
of them, with the lock released. It is for inference on a CPU.
"""

from __future__ import annotations

import bisect
import ctypes
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from operator import itemgetter
from typing import Any

import jittor as jt
import numpy as np

LINE = 16
"""Float32 numbers of a cache line, where every map starts."""


class Recorded:
    """A map without values, float32.

    Attributes:
        shape: its sides.
        place: the map that it is a part of, and its first number there; None for a map by itself.
    """

    def __init__(self, recording: Recording, shape: Sequence[int]) -> None:
        self.recording, self.shape = recording, tuple(shape)
        self.place: tuple[Recorded, int] | None = None

    @property
    def size(self) -> int:
        return prod(self.shape)

    def located(self) -> tuple[Recorded, int]:
        """The outermost map that it is a part of, and its first number there."""
        if self.place is None:
            return self, 0
        root, start = self.place[0].located()
        return root, start + self.place[1]


@dataclass
class _Call:
    kernel: str
    arrays: Sequence[jt.Var | Recorded | None]
    numbers: Sequence[float]

    def roots(self) -> Iterable[Recorded]:
        return (array.located()[0] for array in self.arrays if isinstance(array, Recorded))


def recording_of(arrays: Iterable[Any]) -> Recording | None:
    """The recording of the recorded maps among these, if there are any."""
    return next((array.recording for array in arrays if isinstance(array, Recorded)), None)


def join(maps: Sequence[jt.Var], dim: int) -> jt.Var:
    """`jt.concat`, also of recorded maps."""
    recording = recording_of(maps)
    return jt.concat(list(maps), dim=dim) if recording is None else recording.join(maps, dim)


class Recording:
    """Kernels in the order in which they were called, and memory for their maps.

    Args:
        library: exports the kernels and `unidet_call_all`.
        shape: of the network's input, float32.

    Attributes:
        input: a recorded map.
        numbers: float32 numbers of memory for all maps, once they are laid out.
    """

    def __init__(self, library: ctypes.CDLL, shape: Sequence[int]) -> None:
        self._library, self._calls = library, list[_Call]()
        self.input: Any = Recorded(self, shape)

    def add(
        self,
        kernel: str,
        shapes: Sequence[Sequence[int]],
        inputs: Sequence[Any],
        numbers: Sequence[float],
    ) -> list[Any]:
        """Note a call; its outputs."""
        outputs = [Recorded(self, shape) for shape in shapes]
        self._calls.append(_Call(kernel, [*inputs, *outputs], numbers))
        return outputs

    def join(self, maps: Sequence[Any], dim: int) -> Any:
        """One map of several; where its memory is theirs one after the other, nothing is copied."""
        first, *_ = shapes = [part.shape for part in maps]
        sides = sum(shape[dim] for shape in shapes)
        whole, start = Recorded(self, (*first[:dim], sides, *first[dim + 1 :])), 0
        rows = prod(first[:dim])
        for part in maps:
            count = part.size // rows
            if rows == 1 and part.place is None and part is not self.input:
                part.place = whole, start
            else:
                numbers = rows, count, whole.size // rows, start
                self._calls.append(_Call("copy_part", [part, whole], numbers))
            start += count
        return whole

    def lay_out(self, output: Any) -> None:
        """Divide memory among the maps; `output` is what `repeat` returns."""
        self._output = output
        self._starts, self.numbers = _layout(self._calls, self.input, output)

    def settle(self, memory: np.ndarray) -> None:
        """Take memory (`memory_for`) of at least `numbers`, which other recordings may use too."""
        self._memory, self._constants = memory, list[np.ndarray]()
        self._images, self._result = self._view(self.input), self._view(self._output)
        self._tables = [self._table(call) for call in self._calls]
        rows = [
            (
                ctypes.cast(self._library[f"unidet_{call.kernel}"], ctypes.c_void_p).value,
                *(table.ctypes.data for table in tables),
            )
            for call, tables in zip(self._calls, self._tables, strict=True)
        ]
        self._all = np.array(rows, np.uintp)

    def repeat(self, images: np.ndarray) -> np.ndarray:
        """The output for an input, until its memory is used again. One thread at a time."""
        np.copyto(self._images, images)
        self._library.unidet_call_all(ctypes.c_void_p(self._all.ctypes.data), len(self._all))
        return self._result

    def _view(self, part: Recorded) -> np.ndarray:
        root, start = part.located()
        first = self._starts[root] + start
        return self._memory[first : first + part.size].reshape(part.shape)

    def _table(self, call: _Call) -> tuple[np.ndarray, np.ndarray]:
        """Addresses of a call's arrays, and its numbers."""
        addresses = []
        for array in call.arrays:
            if isinstance(array, jt.Var):
                self._constants.append(array.data)
                array = self._constants[-1]
            elif isinstance(array, Recorded):
                array = self._view(array)
            addresses.append(0 if array is None else array.ctypes.data)
        return np.array(addresses, np.uintp), np.array(call.numbers, np.float64)


def memory_for(numbers: int) -> np.ndarray:
    """(numbers,) float32, not cleared, from the start of a cache line on."""
    memory = np.empty(numbers + LINE, np.float32)
    return memory[-memory.ctypes.data // memory.itemsize % LINE :][:numbers]


def _layout(
    calls: Sequence[_Call], first: Recorded, last: Recorded
) -> tuple[dict[Recorded, int], int]:
    """The first number of every map in one array, and the length of that array.

    Maps that are not needed at the same time share memory. The largest are placed first, each as
    low as it fits.
    """
    needed = {first: [-1, -1]}
    for number, call in enumerate(calls):
        for root in call.roots():
            needed.setdefault(root, [number, number])[1] = number
    needed[last.located()[0]][1] = len(calls)
    placed: list[tuple[int, int, Recorded]] = []  # in the order of their first numbers
    for root in sorted(needed, key=lambda root: -root.size):
        begin, end = needed[root]
        start, size = 0, -(-root.size // LINE) * LINE
        for low, high, other in placed:
            if needed[other][0] <= end and begin <= needed[other][1]:
                if start + size <= low:
                    break
                start = max(start, high)
        bisect.insort(placed, (start, start + size, root), key=itemgetter(0))
    return {root: start for start, _, root in placed}, max(high for _, high, _ in placed)
