"""Embeddings of category names in a `.npy` file."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np

from unidet.errors import UserError

# What numpy's reader of headers raises, which are Python literals.
_DAMAGE = (
    *(ValueError, TypeError, OverflowError, EOFError, MemoryError, RecursionError),
    *(SyntaxError, tokenize.TokenError),
)


def read_embeddings(path: Path, count: int) -> np.ndarray:
    """(C, D) float32 with C = `count`, a row for each category by id.

    Raises:
        UserError: not a readable `.npy` file, another shape, no real numbers, or values that are
            not finite in float32.
    """
    vectors = _read(Path(path))
    if vectors.dtype.kind not in "fiu":
        raise UserError(f"{path}: holds {vectors.dtype}, must be real numbers such as float32")
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        raise UserError(
            f"{path}: shape {vectors.shape}, but the vocabulary has {count} categories; it must be "
            "(categories, dimensions), its rows the categories by id"
        )
    with np.errstate(over="ignore"):
        narrow = np.array(vectors, np.float32, order="C")
    if not np.isfinite(narrow).all():
        raise UserError(f"{path}: holds NaN, infinite values or values too large for float32")
    return narrow


def _read(path: Path) -> np.ndarray:
    """Mapped, so that what a header claims costs no memory."""
    try:
        with path.open("rb") as file:
            if file.read(6) != np.lib.format.MAGIC_PREFIX:
                raise ValueError("it does not begin as one")
        return np.lib.format.open_memmap(path, mode="r")
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror})") from None
    except _DAMAGE as fault:
        reason = " ".join(str(fault).split())
        raise UserError(f"{path}: not a readable .npy array ({reason:.100})") from None
