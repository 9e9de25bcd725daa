"""Columns of JSON records, one a field: numbers in arrays, and what a message may be about as it is
written.

Python's types decide, not numpy's: to numpy `true` is 1 and text may be a number.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from unidet.formats.growing import Growing, taken
from unidet.formats.outlines import box_around

LARGEST = 2.0**63
"""No id, size, score or coordinate is that large; products of two such still fit a float64."""
_EXACT = 2**53  # beyond this a float no longer tells neighbouring whole numbers apart
TRUE, AS_TEXT, NULL = 1, 2, 4
"""Bits of a flag: what it says, whether it is written as text, whether nothing is written."""
_NUMBER = re.compile(r"\s*-?\d+(\.\d+)?([eE][+-]?\d+)?\s*", re.ASCII)
_FLAGS = {None: NULL, 0: 0, 1: TRUE}
_FLAG_WORDS = {"0": AS_TEXT, "1": AS_TEXT + TRUE, "false": AS_TEXT, "true": AS_TEXT + TRUE}
Written = dict[int, Any]
Values = Any
"""An array of numbers, or a list of whatever a file has."""


@dataclass(frozen=True)
class Kind:
    """What a field holds.

    Attributes:
        decode: the values of a batch to those of a column, and the odd ones by their place: what is
            not of this kind, or what a message may show.
        filler: what stands where a record has no such field.
        dtype, width: of the array; no dtype where the column is a list.
        scanned: what the scanner calls the kind (scanner_source.py); 0 where it reads none.
    """

    decode: Callable[[list[Any]], tuple[Values, Written]]
    filler: Any
    dtype: type | None = None
    width: int = 0
    scanned: int = 0


@dataclass(frozen=True)
class Column:
    """The values of N records in one field.

    Attributes:
        values: (N, …) of the kind's type, or a list; the filler where there is none or an odd one.
        absent: (N,) bool, which records have no such field; None where all have it.
        written: row -> the value in the file, of all that are odd.
    """

    values: Values
    absent: np.ndarray | None
    written: Written

    def take(self, rows: np.ndarray) -> Column:
        """The rows, which ascend."""
        is_array = isinstance(self.values, np.ndarray)
        absent = None if self.absent is None else self.absent[rows]
        numbers = np.array(sorted(self.written), np.int64)
        kept = np.isin(numbers, rows)
        places = np.searchsorted(rows, numbers[kept]).tolist()
        odd = zip(places, numbers[kept].tolist(), strict=True)
        return replace(
            self,
            values=taken(self.values, rows) if is_array else [self.values[row] for row in rows],
            absent=None if absent is None or not absent.any() else absent,
            written={place: self.written[row] for place, row in odd},
        )


class GrowingColumn:
    """A column that batches are added to; rows that it is not told of have no such field."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.values: Any = [] if kind.dtype is None else Growing(kind.dtype, kind.width)
        self.missing: list[np.ndarray] = []
        self.written: Written = {}

    def add(self, start: int, values: Values, absent: np.ndarray | None, written: Written) -> None:
        """The values of a batch that begins at a row, and where records have none."""
        self._fill_up(start)
        if absent is not None:
            self.missing.append(start + np.flatnonzero(absent).astype(np.int32))
        self.written |= {start + row: value for row, value in written.items()}
        if self.kind.dtype is None:
            self.values += values
        else:
            self.values.add(values)

    def column(self, count: int) -> Column:
        """The column of so many records."""
        self._fill_up(count)
        absent = None
        if self.missing:
            absent = np.zeros(count, bool)
            absent[np.concatenate(self.missing)] = True
        values = self.values if self.kind.dtype is None else self.values.array()
        return Column(values, absent, self.written)

    def _fill_up(self, count: int) -> None:
        rows = np.arange(len(self.values), count, dtype=np.int32)
        if not len(rows):
            return
        self.missing.append(rows)
        if self.kind.dtype is None:
            self.values += [self.kind.filler] * len(rows)
        else:
            self.values.add(np.repeat(self.kind.decode([self.kind.filler])[0], len(rows), axis=0))


# --- kinds -------------------------------------------------------------------------------------


def _wholes(values: list[Any]) -> tuple[np.ndarray, Written]:
    """int64; whole numbers may be written as 3.0, as the official readers take them."""
    column = _array(values, np.int64, len(values)) if _types(values) <= {int} else None
    if column is not None:
        return column, {}
    odd = {row: value for row, value in enumerate(values) if not is_whole(value)}
    return np.array([int(v) if is_whole(v) else 0 for v in values], np.int64), odd


def _numbers(values: list[Any]) -> tuple[np.ndarray, Written]:
    """float64 as written, which may be NaN, infinite or absurdly large; all such are odd."""
    column = _array(values, np.float64, len(values)) if _types(values) <= {int, float} else None
    if column is None:
        column = np.array([v if is_number(v) else np.nan for v in values], np.float64)
    odd = np.flatnonzero(~(np.abs(column) < LARGEST)).tolist()
    return column, {row: values[row] for row in odd}


def _boxes(values: list[Any]) -> tuple[np.ndarray, Written]:
    """(N, 4) float64 as written; odd are those not finite or with a negative side."""
    column = None
    if _types(values) <= {list} and set(map(len, values)) <= {4}:
        flat = [*chain.from_iterable(values)]
        column = _array(flat, np.float64, len(flat)) if _types(flat) <= {int, float} else None
    if column is None:
        column = np.array([v if is_box(v) else [np.nan] * 4 for v in values], np.float64)
    boxes = column.reshape(-1, 4)
    sound = (np.abs(boxes) < LARGEST).all(axis=1) & (boxes[:, 2:] >= 0).all(axis=1)
    return boxes, {row: values[row] for row in np.flatnonzero(~sound).tolist()}


def _flags(values: list[Any]) -> tuple[np.ndarray, Written]:
    """int8, the bits of the flags."""
    if _types(values) <= {bool, int, float, type(None)} and set(values) <= _FLAGS.keys():
        return np.fromiter(map(_FLAGS.__getitem__, values), np.int8, len(values)), {}
    odd = {row: value for row, value in enumerate(values) if not is_flag(value)}
    flags = (
        0 if row in odd else _FLAG_WORDS[v.lower()] if type(v) is str else _FLAGS[v]
        for row, v in enumerate(values)
    )
    return np.fromiter(flags, np.int8, len(values)), odd


def _texts(values: list[Any]) -> tuple[list[Any], Written]:
    kinds = _types(values) <= {str, type(None)}
    return values, {} if kinds else {row: v for row, v in enumerate(values) if type(v) is not str}


def _outlines(values: list[Any]) -> tuple[np.ndarray, Written]:
    """(N, 4) float64, the boxes around; NaN where there is none, or one that no image has."""
    around = [box_around(value) or [np.nan] * 4 for value in values]
    boxes = np.array(around, np.float64).reshape(-1, 4)
    boxes[~(np.abs(boxes) < LARGEST).all(axis=1)] = np.nan
    return boxes, {}


def _rotations(values: list[Any]) -> tuple[np.ndarray, Written]:
    """(N,) float64, the degrees."""
    return np.array([*map(_degrees, values)], np.float64), {}


def _degrees(attributes: Any) -> float:
    angle: Any = attributes.get("rotation") if type(attributes) is dict else None
    return angle % 360 if is_number(angle) and abs(angle) < LARGEST else 0.0


def _id_lists(values: list[Any]) -> tuple[list[Any], Written]:
    fits = _types(values) <= {list} and _types(chain.from_iterable(values)) <= {int}
    return values, {} if fits else {row: v for row, v in enumerate(values) if not is_id_list(v)}


WHOLE = Kind(_wholes, 0, np.int64, scanned=1)
NUMBER = Kind(_numbers, 0.0, np.float64, scanned=2)
BOX = Kind(_boxes, [0.0] * 4, np.float64, 4, scanned=3)
FLAG = Kind(_flags, None, np.int8, scanned=4)
TEXT = Kind(_texts, None)
ID_LIST = Kind(_id_lists, ())
OUTLINE = Kind(_outlines, None, np.float64, 4)
"""Polygons or a mask; read of batches in which a record has no box."""
ROTATION = Kind(_rotations, None, np.float64)
"""CVAT's `attributes` of a box, of which one says by how much it was turned."""
ANYTHING = Kind(lambda values: (values, {}), None)
"""Whatever a file has; for tables of few records, which are decoded exactly."""


def _types(values: Any) -> set[type]:
    return set(map(type, values))


def _array(values: list[Any], dtype: type, count: int) -> np.ndarray | None:
    """None where a number is too large for the type."""
    try:
        return np.fromiter(values, dtype, count)
    except OverflowError:
        return None


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, perhaps written as 3.0."""
    if type(value) is float:
        return value.is_integer() and abs(value) < _EXACT
    return type(value) is int and abs(value) < LARGEST


def missed_limit(value: Any) -> str:
    """What else a number must be that is whole, but not `is_whole`, or is written as text; empty
    for other values."""
    if type(value) is str:
        return " without quotation marks" if _NUMBER.fullmatch(value) else ""
    if type(value) is float and not value.is_integer():
        return ""
    if type(value) in (int, float) and abs(value) >= LARGEST:
        return " between -2^63 and 2^63"
    return " with all its digits" if type(value) is float else ""


def is_number(value: Any) -> bool:
    """Whether a value is a number that a float64 holds, perhaps not finite."""
    return type(value) is float or (type(value) is int and abs(value) <= sys.float_info.max)


def is_box(value: Any) -> bool:
    """Whether a value is a list of four numbers."""
    return type(value) is list and len(value) == 4 and all(map(is_number, value))


def is_flag(value: Any) -> bool:
    """Whether a value is yes or no, or nothing."""
    if type(value) is str:
        return value.lower() in _FLAG_WORDS
    return value is None or (type(value) in (bool, int, float) and value in (0, 1))


def is_id_list(value: Any) -> bool:
    """Whether a value is a list of whole numbers."""
    return type(value) in (list, tuple) and _types(value) <= {int}
