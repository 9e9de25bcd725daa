"""Two files of named tensors, layer by layer: `unidet compare`.

Large tensors may be stored as excerpts: `NAME#first65536` holds the first 65,536 values of NAME,
flattened, `NAME#norm` its Euclidean norm, `NAME#shape` the lengths of its sides. Where one file has
an excerpt and the other the tensor, the same excerpt is taken of the tensor.

How near is near enough depends on the name, unless `--rtol` or `--atol` are given:

    whole numbers, texts        equal
    loss/*, A/loss/*            1e-5 of the recorded value
    grad/*                      1e-3: norm of the difference by norm of the whole gradient
    *detections, *proposals, *boxes_scores
                                0.01 pixel in coordinates, 1e-5 in scores; of proposals 5e-5 of the
                                largest coordinate where that is more: what lies outside the image
                                is cut off, and rounding goes by the whole box
    *_tgt/*, samp_*             1e-5 of the largest value
    *pred_logits, *pred_boxes   5 times what the second file's own is off from float64, where it
                                also has that, as A/f64/pred_logits beside A/pred_logits;
                                else as the next line
    *decoder/layer*             1e-3 of the largest value: layers that refine one another's boxes
                                multiply float32's rounding (docs/parity-detr.md)
    *backbone/c5, *layer4 …     2e-5 of the largest value
    *encoder/*, *decoder/*      5e-5 of the largest value
    everything else             1e-4 of the largest value
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.weights.excerpts import alone, is_number, shared, whole_or_excerpt
from unidet.weights.read import read_checkpoint

WIDTH = 80
SCORE_COLUMN = 4
PROPOSAL_RTOL = 5e-5
"""Of the largest coordinate: how far proposals may be off where that is more than PIXEL."""
TIE = 1e-5
"""Detections whose scores differ by no more may stand in either order."""
PIXEL = 0.01
_RANKED = re.compile(r"(^|[/_])(detections|proposals|boxes_scores)(_image\d+)?$")
_LISTED_BY_CLASS = re.compile(r"(^|[/_])detections(_image\d+)?$")
_FOLLOWED = re.compile(r"(.+_)(?:proposals|boxes_scores)(_image\d+)?$")
_GRADIENT = re.compile(r"(.*/)?grad/")
_REFINED = re.compile(r"(.*/)?(decoder/layer|pred_(logits|boxes)($|#))")
_EXACT = "f64/"
_ORDERS = ("decoder/topk_ind", "topk_ind")
"""RT-DETR's predictions are compared by memory cell, in whatever order these say they are."""
NOISE = 5.0
"""How many times a float32 recording's own distance from float64 is allowed."""
ATOL = 1e-6
_RTOLS = (
    (r"(.*/)?loss/", 1e-5),
    (_GRADIENT, 1e-3),
    (r"(.*_tgt/|samp_)", 1e-5),
    (_REFINED, 1e-3),
    (r"(.*/)?backbone/(c|layer)\d", 2e-5),
    (r"(.*/)?(encoder|decoder)/", 5e-5),
    (r"", 1e-4),
)
_NAME_COLUMN, _SHAPE_COLUMN = 34, 18


@dataclass(frozen=True)
class Row:
    """One tensor in both files.

    Attributes:
        shapes: in the first and in the second file.
        absolute: largest difference, infinite where the shapes differ or only one value is finite.
        relative: that difference over the second tensor's largest magnitude; of a gradient the
            norm of the differences over the norm of the whole gradient.
        fits: within the tolerance.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    absolute: float
    relative: float
    fits: bool


@dataclass(frozen=True)
class Comparison:
    """The comparison of two files.

    Attributes:
        rows: one per common name, in the order of the first file.
        alone: names that only one file has, by file.
    """

    rows: list[Row]
    alone: dict[str, list[str]]

    def fits(self, *, common: bool = False) -> bool:
        """Whether all tensors are within tolerance and, unless `common`, in both files."""
        return all(row.fits for row in self.rows) and (common or not any(self.alone.values()))


def compare_files(
    first: str | Path,
    second: str | Path,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    only: Sequence[str] = (),
) -> Comparison:
    """Every name that both files have, tensor by tensor, and the names that one of them lacks.

    Args:
        first, second: `.npz`, or a checkpoint of any format that `read_checkpoint` knows; the
            second is the reference.
        rtol, atol: one tolerance for every name, of the largest value (a gradient's norm) and
            absolute; None for those of the module's documentation.
        only: patterns such as "rpn_*" that names must match.

    Raises:
        UserError: a file that cannot be read, or no name in common.
    """
    ours, theirs = read_checkpoint(first), read_checkpoint(second)
    pairs = shared(ours, theirs)
    lone = {str(first): alone(ours, pairs), str(second): alone(theirs, pairs)}
    unmatched = [pattern for pattern in only if not any(fnmatchcase(n, pattern) for n in pairs)]
    if only:
        pairs = {name: pair for name, pair in pairs.items() if _matches(name, only)}
        lone = {file: [n for n in names if _matches(n, only)] for file, names in lone.items()}
    if unmatched or not pairs:
        matching = f" that matches {' or '.join(unmatched)}" if unmatched else ""
        raise UserError(
            f"{first} ({_some(ours)}) and {second} ({_some(theirs)}) have no name in "
            f"common{matching}"
        )
    orders = _orders(ours, theirs)
    rows = []
    for name, (mine, reference) in pairs.items():
        norm = whole_or_excerpt(theirs, f"{name.split('#')[0]}#norm")
        noise = None if rtol is not None or atol is not None else _noise(theirs, name)
        limits = (0.0, NOISE * noise) if noise is not None else (rtol, atol)
        rows.append(compare(name, mine[orders.get(name, ...)], reference, *limits, norm))
    return Comparison(rows, lone)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _noise(recorded: Mapping[str, np.ndarray], name: str) -> float | None:
    """The distance of `name` from its float64 value, if `recorded` has both."""
    case, _, tensor = name.rpartition("/")
    exact = recorded.get(f"{case}/{_EXACT}{tensor}")
    if exact is None or exact.shape != recorded[name].shape:
        return None
    values, exact_order = recorded[name], recorded.get(f"{case}/{_EXACT}topk_ind")
    order = next((recorded[at] for way in _ORDERS if (at := f"{case}/{way}") in recorded), None)
    if exact_order is not None and order is not None:
        values, exact = _by_cell(values, order), _by_cell(exact, exact_order)
    return float(np.abs(values.astype(np.float64) - exact).max(initial=0))


def _by_cell(rows_NQX: np.ndarray, cells_NQ: np.ndarray) -> np.ndarray:
    return np.take_along_axis(rows_NQX, np.argsort(cells_NQ, axis=1)[..., None], axis=1)


def compare(
    name: str,
    ours: np.ndarray,
    theirs: np.ndarray,
    rtol: float | None = None,
    atol: float | None = None,
    norm: np.ndarray | None = None,
) -> Row:
    """Compare `ours` with `theirs`.

    NaN and infinities equal themselves. Rows of detections and proposals (N, 5 or more, score in
    column 4) are first brought into one order, as far as equal scores leave it open. `norm` is
    that of the whole gradient where `theirs` is an excerpt.
    """
    shapes = (ours.shape, theirs.shape)
    if ours.shape != theirs.shape:
        return Row(name, shapes, np.inf, np.inf, fits=False)
    if not (is_number(ours) and is_number(theirs)):
        equal = bool((ours == theirs).all())
        return Row(name, shapes, 0.0 if equal else np.inf, 0.0 if equal else np.inf, fits=equal)
    mine, reference = ours.astype(np.float64), theirs.astype(np.float64)
    ranked = _is_ranked(name, mine)
    if ranked:
        mine, reference = _in_one_order(name, mine, reference)
    difference, magnitudes = _differences(mine, reference)
    absolute = float(difference.max(initial=0))
    if ranked and rtol is None and atol is None:
        fits = bool((difference <= _limits(name, magnitudes)).all())
        return Row(name, shapes, absolute, _ratio(absolute, magnitudes.max(initial=0)), fits)
    if _GRADIENT.match(name):
        size = float(np.linalg.norm(magnitudes) if norm is None else norm)
        distance = float(np.linalg.norm(difference))
    else:
        size, distance = float(magnitudes.max(initial=0)), absolute
    if rtol is None and atol is None and {ours.dtype.kind, theirs.dtype.kind} <= {"i", "u"}:
        fits = bool((ours == theirs).all())
    else:
        limit = (ATOL if atol is None else atol) + (_rtol(name) if rtol is None else rtol) * size
        fits = distance <= limit
    return Row(name, shapes, absolute, _ratio(distance, size), fits)


def _rtol(name: str) -> float:
    return next(value for pattern, value in _RTOLS if re.match(pattern, name))


def _ratio(distance: float, size: float) -> float:
    return distance / size if size else (np.inf if distance else 0.0)


def _differences(mine: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Absolute differences, infinite if only one is finite, and the reference's magnitudes."""
    finite = np.isfinite(mine) & np.isfinite(reference)
    same = finite | (mine == reference) | (np.isnan(mine) & np.isnan(reference))
    difference = np.abs(np.where(finite, mine, 0) - np.where(finite, reference, 0))
    return np.where(same, difference, np.inf), np.abs(np.where(finite, reference, 0))


def _limits(name: str, reference: np.ndarray) -> np.ndarray:
    """Per column of detections: coordinates, score, and a class, which must be equal."""
    pixels = PIXEL
    if "proposals" in name:
        largest = reference[:, :SCORE_COLUMN].max(initial=0)
        pixels = max(PIXEL, PROPOSAL_RTOL * largest)
    more = reference.shape[1] - SCORE_COLUMN - 1
    return np.array([pixels] * SCORE_COLUMN + [TIE] + [0] * more)


def _is_ranked(name: str, rows: np.ndarray) -> bool:
    return bool(_RANKED.search(name)) and rows.ndim == 2 and rows.shape[1] > SCORE_COLUMN


def _in_one_order(
    name: str, mine: np.ndarray, reference: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    by_class = _LISTED_BY_CLASS.search(name) and mine.shape[1] > SCORE_COLUMN + 1
    if by_class:  # one box more in one class must not move all others
        mine, reference = (
            rows[np.argsort(-rows[:, 4], kind="stable")] for rows in (mine, reference)
        )
    return mine[tie_order(mine, reference)], reference


def _orders(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """For tensors with a row for each of `test_proposals` (`test_rois`, `test_cls`, …): the order
    that brings our proposals into the other file's; `det0_labels` follow `det0_boxes_scores`."""
    orders = {}
    for name, proposals in ours.items():
        match = _FOLLOWED.fullmatch(name)
        reference = theirs.get(name)
        if not match or reference is None or proposals.shape != reference.shape:
            continue
        if not _is_ranked(name, proposals):
            continue
        order = tie_order(proposals.astype(np.float64), reference.astype(np.float64))
        for other, array in ours.items():
            follows = other.startswith(match[1]) and other.endswith(match[2] or "")
            if other != name and follows and array.shape[:1] == order.shape:
                orders[other] = order
    return orders


def tie_order(rows: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Where each row of `reference` (N, 5+) is in `rows`, as far as scores within TIE leave it
    open."""
    scores = reference[:, SCORE_COLUMN]
    away = np.abs(rows - reference).max(axis=1, initial=0)
    free = list(np.flatnonzero(away > TIE * np.abs(reference).max(axis=1, initial=1)))
    order = np.arange(len(rows))
    for place in list(free):
        near = [row for row in free if abs(scores[row] - scores[place]) <= 2 * TIE]
        if not near:
            return np.arange(len(rows))
        distances = [np.abs(rows[row] - reference[place]).max() for row in near]
        order[place] = near[int(np.argmin(distances))]
        free.remove(order[place])
    return order


def table(comparison: Comparison) -> list[str]:
    """The rows in lines of at most 80 columns; `<-first` marks where the tolerance is left. Behind
    them, in as many columns as they take, the names that one file lacks."""
    rows = comparison.rows
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
    lone = {file: names for file, names in comparison.alone.items() if names}
    return lines + [f"{len(names)} in {file} alone: {_some(names)}" for file, names in lone.items()]


def _short(text: str, width: int) -> str:
    """`text` in exactly `width` columns, its middle left out where it is longer."""
    if len(text) <= width:
        return text.ljust(width)
    tail = (width - 1) * 2 // 3
    return f"{text[: width - 1 - tail]}…{text[-tail:]}"


def _some(arrays: Iterable[str]) -> str:
    names = list(arrays)
    return ", ".join([*names[:3], "…"] if len(names) > 3 else names)
