"""Arrays of unknown length; long ones lie in a nameless file that is mapped into memory."""

from __future__ import annotations

import mmap
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO

import numpy as np

from unidet.errors import UserError

IN_MEMORY = 1 << 25
"""Bytes of an array beyond which it lies in a file, in the folder for temporary files (TMPDIR)."""
BLOCK = 1 << 19
"""Rows that are worked on at once."""


class Growing:
    """An array (N,), or (N, width), that parts are added to."""

    def __init__(self, dtype: type, width: int = 0) -> None:
        self.dtype: np.dtype = np.dtype(dtype)
        self.width = width
        self.parts: list[np.ndarray] = []
        self.file: IO[bytes] | None = None
        self.size = 0

    def __len__(self) -> int:
        return self.size // (self.dtype.itemsize * max(self.width, 1))

    def add(self, part: np.ndarray) -> None:
        """One more part; UserError where there is no room for it."""
        self.parts.append(np.ascontiguousarray(part, self.dtype))
        self.size += self.parts[-1].nbytes
        try:
            self._to_file()
        except OSError as fault:
            raise UserError(
                f"{tempfile.gettempdir()}: {fault.strerror}; columns of large files wait there: "
                "free some space, or name another folder by TMPDIR"
            ) from None

    def _to_file(self) -> None:
        """Where they are long, write the parts to a file."""
        if self.file is None and self.size > IN_MEMORY:
            self.file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (closed with what it belongs to)
            weakref.finalize(self, self.file.close)
        if self.file is not None:
            for waiting in filter(len, self.parts):
                left = waiting.data.cast("B")
                while left:
                    left = left[self.file.write(left) :]
            self.parts = []

    def array(self) -> np.ndarray:
        """All parts; nothing can be added afterwards. That of a file cannot be written to."""
        if self.file is None:
            parts = [np.zeros((0, self.width) if self.width else 0, self.dtype), *self.parts]
            self.parts = []
            return np.concatenate(parts)
        with self.file:
            mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        column = np.frombuffer(mapped, self.dtype)
        return column.reshape(-1, self.width) if self.width else column


def blocks(*arrays: np.ndarray) -> Iterator[slice]:
    """Slices that go through arrays of one length; what was seen of those in files leaves memory
    again."""
    for start in range(0, len(arrays[0]), BLOCK):
        yield slice(start, min(start + BLOCK, len(arrays[0])))
        for array in arrays:
            forget(array)


def forget(array: np.ndarray) -> None:
    """Leave the disk alone to hold what lies in a file; it is read again when it is asked for."""
    base = array.base
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap):
        base.obj.madvise(mmap.MADV_DONTNEED)


def taken(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """`array[rows]` for ascending rows, in a file where it is long."""
    grown = Growing(array.dtype.type, array.shape[1] if array.ndim == 2 else 0)
    for block in blocks(rows):
        grown.add(array[rows[block]])
        forget(array)
    return grown.array()
