"""Embeddings of category names in a `.npy` file, or with the names in a `.npz`."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np

from unidet.errors import HEAD, UserError, not_binary, require_end
from unidet.formats.names import plain
from unidet.weights.read import read_npz

# What numpy's reader of headers raises, which are Python literals.
_DAMAGE = (
    *(ValueError, TypeError, OverflowError, EOFError, MemoryError, RecursionError),
    *(SyntaxError, tokenize.TokenError),
)

# The networks lengthen no shorter row to 1; rows of zeros may stand for names without embeddings.
_SHORTEST = 1e-12

_ARRAYS = 'write numpy.savez("FILE.npz", embeddings=ARRAY, names=NAMES)'
_SAVE = 'write its tensor by numpy.save("FILE.npy", tensor.numpy())'


def read_embeddings(path: Path, count: int | None = None) -> np.ndarray:
    """(C, D) float32, a row for each category by id; `count` is what C must be, None for any.

    Raises:
        UserError: not a readable `.npy` file, another shape, no real numbers, or rows whose
            squared length is not finite in float32 or too small for it.
    """
    return _checked(path, read_array(Path(path)), count)


def read_named_embeddings(path: Path) -> tuple[np.ndarray, list[str]]:
    """(C, D) float32 and the C names of a `.npz`, as stage `clip_embeddings` leaves it.

    The names read as those of labels do: on one line, without outer spaces.

    Raises:
        UserError: as `read_embeddings`; an array is missing, a name is empty, or one has two
            embeddings.
    """
    arrays = read_npz(path)
    for name in ("embeddings", "names"):
        if name not in arrays:
            raise UserError(
                f"{path}: has no array {name!r}; it must hold `embeddings` (C, D) and their "
                "`names` (C,)"
            )
    vectors, names = arrays["embeddings"], arrays["names"]
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(f"{path}: its names are {names.dtype} {names.shape}, must be text (C,)")
    checked = _checked(path, vectors, len(names))
    known = list(map(plain, names.tolist()))
    if "" in known:
        raise UserError(f"{path}: name {known.index('') + 1} is empty; write a name")
    _require_one_each(path, checked, known)
    return checked, known


def _require_one_each(path: Path, vectors: np.ndarray, names: list[str]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        other = first.setdefault(name, row)
        if other != row and (vectors[row] != vectors[other]).any():
            raise UserError(
                f"{path}: rows {other + 1} and {row + 1} are both of {name!r} and differ; leave "
                "one out, or give them names of their own"
            )


def _checked(path: Path, vectors: np.ndarray, count: int | None) -> np.ndarray:
    if vectors.dtype.kind not in "fiu":
        raise UserError(f"{path}: holds {vectors.dtype}, must be real numbers such as float32")
    if vectors.ndim != 2 or count not in (None, len(vectors)) or not vectors.size:
        wanted = "" if count is None else f", but the vocabulary has {count} categories"
        raise UserError(
            f"{path}: shape {vectors.shape}{wanted}; it must be "
            "(categories, dimensions), its rows the categories by id"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.array(vectors, np.float32, order="C")
        squares = np.einsum("cd,cd->c", narrow, narrow)  # by which they are normalized
    if not np.isfinite(squares).all():
        raise UserError(f"{path}: holds NaN, infinite values or values too large for float32")
    if (vectors[squares < _SHORTEST**2] != 0).any():
        raise UserError(f"{path}: holds rows shorter than {_SHORTEST}, too small for float32")
    return narrow


def read_array(path: Path) -> np.ndarray:
    """A `.npy` file of anybody's, mapped, so that what a header claims costs no memory.

    Raises:
        UserError: it is none, or cannot be read.
    """
    try:
        require_end(path)
        with path.open("rb") as file:
            head = file.read(HEAD)
            if not head.startswith(np.lib.format.MAGIC_PREFIX):
                raise ValueError(not_binary(head) or "it does not begin as one")
        with np.errstate(over="ignore"):  # it refuses a size that overflows, but warns too
            return np.lib.format.open_memmap(path, mode="r")
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror})") from None
    except _DAMAGE as fault:
        reason = " ".join(str(fault).split())
        writes = f"; {_SAVE}" if "PyTorch" in reason else ""
        if "Python objects" in reason:  # a dict by name, as numpy.save takes it
            reason, writes = "it holds Python objects", f"; {_ARRAYS}"
        raise UserError(f"{path}: not a readable .npy array ({reason:.100}){writes}") from None
