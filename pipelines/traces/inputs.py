"""The tensors that a trace is given, checked by name and shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.weights.read import read_checkpoint

Side = int | str
"""A length that a side must have, or a letter for one that is free but the same throughout."""


class Inputs:
    """Named arrays from a file.

    Args:
        arrays: as they are in the file; floating ones are handed out as float32.
        source: the file, for complaints.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], source: str) -> None:
        self._arrays = arrays
        self._source = source
        self._sides: dict[str, int] = {}

    @classmethod
    def read(cls, path: str | Path) -> Inputs:
        """The arrays of an `.npz`. Raises UserError as `read_checkpoint`."""
        return cls(read_checkpoint(path), str(path))

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def take(self, name: str, *shape: Side) -> np.ndarray:
        """The array `name` with as many sides as `shape` has, each as it says.

        Raises:
            UserError: no such array, another shape, not numbers, or values that are not finite.
        """
        if name not in self._arrays:
            present = ", ".join(self._arrays) if len(self._arrays) <= 12 else "other names"
            raise UserError(
                f"{self._source}: lacks {name} {_written(shape)}; it holds {present or 'nothing'}"
            )
        array = self._arrays[name]
        if array.dtype.kind not in "biuf":
            raise UserError(f"{self._source}: {name} holds {array.dtype}, not numbers")
        if not self._fits(array.shape, shape):
            known = {letter: size for letter, size in self._sides.items() if letter in shape}
            where = "".join(f", {letter} = {size}" for letter, size in known.items())
            raise UserError(
                f"{self._source}: {name} has shape {array.shape}, must be {_written(shape)}{where}"
            )
        if not np.isfinite(array).all():
            raise UserError(f"{self._source}: {name} holds NaN or infinite values")
        return array.astype(np.float32) if array.dtype.kind == "f" else array.astype(np.int64)

    def take_first(self, names: tuple[str, ...], *shape: Side) -> np.ndarray:
        """The array under the first of `names` that is there; the complaint names the first."""
        return self.take(next((name for name in names if name in self), names[0]), *shape)

    def refusal(self, complaint: str) -> UserError:
        """An error that starts with the file's name."""
        return UserError(f"{self._source}: {complaint}")

    def _fits(self, lengths: tuple[int, ...], shape: tuple[Side, ...]) -> bool:
        if len(lengths) != len(shape):
            return False
        sides = dict(self._sides)
        for length, side in zip(lengths, shape, strict=True):
            expected = sides.setdefault(side, length) if isinstance(side, str) else side
            if length != expected:
                return False
        self._sides = sides
        return True


def _written(shape: tuple[Side, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
