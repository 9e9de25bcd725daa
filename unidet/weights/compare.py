"""Two files of named tensors, layer by layer: `unidet compare`.

Large tensors may be stored as excerpts: `NAME#first65536` holds the first 65,536 values of NAME,
flattened, and `NAME#norm` its Euclidean norm. Where one file has an excerpt and the other the
tensor, the same excerpt is taken of the tensor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.weights.read import read_checkpoint

WIDTH = 80
SCORE_COLUMN = 4
TIE = 1e-5
"""Detections whose scores differ by no more may stand in either order."""
_RANKED = re.compile(r"(^|[/_])(detections|proposals)$")
_NAME_COLUMN, _SHAPE_COLUMN = 34, 18


@dataclass(frozen=True)
class Row:
    """One tensor in both files.

    Attributes:
        shapes: in the first and in the second file.
        absolute: largest difference, infinite where the shapes differ or only one value is finite.
        relative: that difference over the second tensor's largest magnitude.
        fits: absolute <= atol + rtol * that magnitude.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    absolute: float
    relative: float
    fits: bool


def compare_files(
    first: str | Path,
    second: str | Path,
    *,
    rtol: float,
    atol: float,
    only: Sequence[str] = (),
) -> list[Row]:
    """A row for every name that both files have, in the order of the first.

    Args:
        first, second: `.npz`, or a checkpoint of any format that `read_checkpoint` knows; the
            second is the reference.
        only: patterns such as "rpn_*" that names must match.

    Raises:
        UserError: a file that cannot be read, or no name in common.
    """
    ours, theirs = read_checkpoint(first), read_checkpoint(second)
    pairs = {
        name: pair
        for name, pair in shared(ours, theirs).items()
        if not only or any(fnmatchcase(name, pattern) for pattern in only)
    }
    if not pairs:
        matching = f" that matches {' or '.join(only)}" if only else ""
        raise UserError(
            f"{first} ({_some(ours)}) and {second} ({_some(theirs)}) have no name in "
            f"common{matching}"
        )
    return [compare(name, mine, reference, rtol, atol) for name, (mine, reference) in pairs.items()]


def shared(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Both tensors of every name in common, excerpts taken where only one side has one."""
    found = {}
    for name in dict.fromkeys([*ours, *theirs]):
        mine, reference = _whole_or_excerpt(ours, name), _whole_or_excerpt(theirs, name)
        if mine is not None and reference is not None:
            found[name] = (mine, reference)
    order = {name: place for place, name in enumerate(ours)}
    base = {name: order.get(name, order.get(name.split("#")[0], len(order))) for name in found}
    return {name: found[name] for name in sorted(found, key=base.__getitem__)}


def _whole_or_excerpt(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    if name in arrays:
        return arrays[name]
    whole, _, excerpt = name.rpartition("#")
    if whole not in arrays:
        return None
    if excerpt == "norm":
        return np.asarray(np.linalg.norm(arrays[whole].astype(np.float64)))
    if re.fullmatch(r"first\d+", excerpt):
        return arrays[whole].reshape(-1)[: int(excerpt.removeprefix("first"))]
    return None


def compare(name: str, ours: np.ndarray, theirs: np.ndarray, rtol: float, atol: float) -> Row:
    """How far `ours` is from `theirs`.

    NaN and infinities equal themselves. Rows of detections and proposals (N, 5 or more, score in
    column 4) are first brought into one order, as far as equal scores leave it open.
    """
    shapes = (ours.shape, theirs.shape)
    if ours.shape != theirs.shape:
        return Row(name, shapes, np.inf, np.inf, fits=False)
    if not (_is_number(ours) and _is_number(theirs)):
        equal = bool((ours == theirs).all())
        return Row(name, shapes, 0.0 if equal else np.inf, 0.0 if equal else np.inf, fits=equal)
    mine, reference = ours.astype(np.float64), theirs.astype(np.float64)
    if _RANKED.search(name) and mine.ndim == 2 and mine.shape[1] > SCORE_COLUMN:
        mine = _in_the_order_of(mine, reference)
    finite = np.isfinite(mine) & np.isfinite(reference)
    same = finite | (mine == reference) | (np.isnan(mine) & np.isnan(reference))
    difference = np.abs(np.where(finite, mine, 0) - np.where(finite, reference, 0))
    absolute = float(difference.max(initial=0)) if same.all() else np.inf
    largest = float(np.abs(np.where(finite, reference, 0)).max(initial=0))
    relative = absolute / largest if largest else absolute and np.inf
    return Row(name, shapes, absolute, relative, fits=absolute <= atol + rtol * largest)


def _is_number(array: np.ndarray) -> bool:
    return array.dtype.kind in "biuf"


def _in_the_order_of(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`rows`, reordered among scores that differ by at most TIE so as to lie near `reference`."""
    scores = reference[:, SCORE_COLUMN]
    away = np.abs(rows - reference).max(axis=1, initial=0)
    free = list(np.flatnonzero(away > TIE * np.abs(reference).max(axis=1, initial=1)))
    order = np.arange(len(rows))
    for place in list(free):
        near = [row for row in free if abs(scores[row] - scores[place]) <= 2 * TIE]
        if not near:
            return rows
        distances = [np.abs(rows[row] - reference[place]).max() for row in near]
        order[place] = near[int(np.argmin(distances))]
        free.remove(order[place])
    return rows[order]


def table(rows: Sequence[Row]) -> list[str]:
    """The rows in lines of at most 80 columns; `<-first` marks where the tolerance is left."""
    head = f"{'tensor':{_NAME_COLUMN}} {'shape':{_SHAPE_COLUMN}} {'abs':>8} {'rel':>8}"
    lines = [head, "-" * WIDTH]
    first = next((row for row in rows if not row.fits), None)
    for row in rows:
        mark = "" if row.fits else (" <-first" if row is first else " <-")
        mine, reference = ("x".join(map(str, shape)) or "-" for shape in row.shapes)
        if mine != reference:
            shapes = _short(f"{mine} not {reference}", _SHAPE_COLUMN + 18)
            lines.append(f"{_short(row.name, _NAME_COLUMN)} {shapes}{mark}")
            continue
        lines.append(
            f"{_short(row.name, _NAME_COLUMN)} {_short(mine, _SHAPE_COLUMN)} "
            f"{row.absolute:8.1e} {row.relative:8.1e}{mark}"
        )
    beyond = sum(not row.fits for row in rows)
    lines += ["-" * WIDTH, f"{len(rows)} compared, {beyond} beyond tolerance"]
    return lines


def _short(text: str, width: int) -> str:
    """`text` in exactly `width` columns, its middle left out where it is longer."""
    if len(text) <= width:
        return text.ljust(width)
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def _some(arrays: Mapping[str, np.ndarray]) -> str:
    names = list(arrays)
    return ", ".join([*names[:3], "…"] if len(names) > 3 else names)
