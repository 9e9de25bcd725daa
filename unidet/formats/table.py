"""Lists of JSON records, read column by column, with errors that name the record.

Each method looks at all records at once and searches record by record only after a fault, to name
it. Python's types decide, not numpy's: to numpy `true` is 1 and text may be a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from unidet.errors import UserError
from unidet.formats.json_text import shown

LARGEST = 2.0**63
"""No id, size, score or coordinate is that large; products of two such still fit a float64."""
_EXACT = 2**53  # beyond this a float no longer tells neighbouring whole numbers apart
_BOX = "[x, y, width, height]"
# The keys that other tools write for these flags, without case and underscores.
_SPELLINGS = {
    "iscrowd": ("iscrowd", "crowd", "iscrowded"),
    "ignore": ("ignore", "ignored", "isignore", "isignored"),
}
_FLAG_WORDS = {"0": False, "1": True, "false": False, "true": True}


@dataclass(frozen=True)
class Finding:
    """How often something was met, and the first record it was met in."""

    count: int
    first: str


class TableFault(UserError):
    """Records that are at fault for one reason; the message is about the first.

    Attributes:
        key: the table's; `rows`: the records, as far as the reader has looked for them.
        kind: the reason, without what the records say.
        first: the name of the first record.
    """

    def __init__(self, message: str, key: str, rows: Sequence[int], kind: str, first: str) -> None:
        super().__init__(message)
        self.key = key
        self.rows = rows
        self.kind = kind
        self.first = first


@dataclass(frozen=True)
class Table:
    """N records under one key of a file; `positions` are their numbers there, if not 0, 1, …"""

    file: Path
    key: str
    records: list[dict[str, Any]]
    positions: Sequence[int] | None = None

    @classmethod
    def of(
        cls,
        file: Path,
        document: dict[str, Any],
        key: str,
        *,
        empty: bool = False,
        positions: Sequence[int] | None = None,
    ) -> Table:
        """The table under `key`; UserError where it is absent, no list of objects, or empty."""
        if key not in document:
            raise UserError(f"{file}: has no '{key}'; expected images, annotations, categories")
        if not isinstance(document[key], list):
            raise UserError(f"{file}: '{key}' must be a list")
        if not document[key] and not empty:
            raise UserError(f"{file}: '{key}' is empty: nothing to read")
        return cls(file, key, document[key], positions).checked()

    def checked(self) -> Table:
        """The same; UserError where a record is no object."""
        if set(map(type, self.records)) - {dict}:
            rows = [row for row, value in enumerate(self.records) if type(value) is not dict]
            self.fail(rows, f"is {shown(self.records[rows[0]])}, must be an object")
        return self

    def take(self, rows: np.ndarray) -> Table:
        """The records at `rows` of a table that holds all of the file's."""
        return replace(self, records=[self.records[row] for row in rows], positions=rows.tolist())

    def __len__(self) -> int:
        return len(self.records)

    def where(self, row: int) -> str:
        """Name of a record within the file, such as `annotations[17] (id 42)`."""
        record = self.records[row]
        own = f" (id {shown(record['id'])})" if isinstance(record, dict) and "id" in record else ""
        return f"{self._place(row)}{own}"

    def _place(self, row: int) -> str:
        return f"{self.key}[{row if self.positions is None else self.positions[row]}]"

    def fail(self, rows: int | Sequence[int], problem: str, kind: str = "") -> NoReturn:
        """Raise a TableFault about one record, or about several with the problem of the first.

        `kind` is the problem without what the record says, for those that say it otherwise than as
        `is …, must`.
        """
        rows = [rows] if isinstance(rows, int) else rows
        first = self.where(rows[0])
        kind = kind or re.sub(r" is .*, must", " must", problem)
        raise TableFault(f"{self.file}: {first}: {problem}", self.key, rows, kind, first)

    def finding(self, rows: np.ndarray) -> Finding | None:
        """What a mask (N,) of records amounts to; None where it is empty."""
        if not rows.any():
            return None
        return Finding(int(np.count_nonzero(rows)), self.where(int(np.argmax(rows))))

    def has(self, field: str) -> bool:
        """Whether every record has the field."""
        return all(field in record for record in self.records)

    def integers(self, field: str, default: int | None = None) -> np.ndarray:
        """(N,) int64; whole numbers may be written as 3.0, as the official readers take them."""
        values = self._values(field, default)
        column = None
        if set(map(type, values)) <= {int}:
            column = _column(values, np.int64, len(values))
        if column is None:
            self._refuse_other_than(field, values, _is_whole, "a whole number")
            column = np.array([int(value) for value in values], np.int64)
        return column

    def numbers(self, field: str, default: float | None = None) -> np.ndarray:
        """(N,) float64 as written, which may be NaN, infinite or absurdly large.

        Records without the field take `default`, and are an error where that is None.
        """
        values = self._values(field, default)
        column = None
        if set(map(type, values)) <= {int, float}:
            column = _column(values, np.float64, len(values))
        if column is None:
            self._refuse_other_than(field, values, _is_number, "a number")
            raise AssertionError(f"{self.file}: a fault in '{field}' that no record shows")
        return column

    def finite_numbers(self, field: str) -> np.ndarray:
        """(N,) float64, finite and smaller than `LARGEST`."""
        column = self.numbers(field)
        self._refuse(~(np.abs(column) < LARGEST), field, "a finite number")
        return column

    def boxes(self, field: str) -> np.ndarray:
        """(N, 4) float64 x, y, width, height as written, like `numbers`."""
        values = self._values(field)
        column = None
        are_fours = set(map(type, values)) <= {list} and set(map(len, values)) <= {4}
        if are_fours and set(map(type, chain.from_iterable(values))) <= {int, float}:
            column = _column(chain.from_iterable(values), np.float64, 4 * len(values))
        if column is None:
            self._refuse_other_than(field, values, _is_box, _BOX)
            raise AssertionError(f"{self.file}: a fault in '{field}' that no record shows")
        return column.reshape(-1, 4)

    def require_sound(self, field: str, boxes: np.ndarray) -> None:
        """UserError where a box of the column (N, 4) is not finite or has a negative side."""
        self._refuse(~(np.abs(boxes) < LARGEST).all(axis=1), field, f"{_BOX}, all finite")
        self._refuse((boxes[:, 2:] < 0).any(axis=1), field, f"{_BOX}, no side negative")

    def ids(self) -> np.ndarray:
        """The records' own ids, (N,) int64, each used once."""
        ids = self.integers("id")
        order = np.argsort(ids, kind="stable")
        repeated = np.flatnonzero(ids[order][1:] == ids[order][:-1])
        if len(repeated):
            rows = sorted(order[repeated + 1].tolist())
            first = int(np.flatnonzero(ids == ids[rows[0]])[0])
            self.fail(
                rows,
                f"its id is already taken by {self._place(first)}; ids must be unique",
                "its id is already taken; ids must be unique",
            )
        return ids

    def rows_in(self, field: str, ids: np.ndarray, what: str) -> np.ndarray:
        """For each record the row (N,) int32 of its `field` within `ids`, which are `what`.

        Raises:
            UserError: a record refers to an id that is not there.
        """
        wanted = self.integers(field)
        order = np.argsort(ids)
        place = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
        unknown = np.flatnonzero(ids[place] != wanted)
        if len(unknown):
            self.fail(
                unknown.tolist(),
                f"{field} {wanted[unknown[0]]} is not among the {len(ids)} {what}",
                f"{field} is not among the {what}",
            )
        return place.astype(np.int32)

    def texts(self, field: str) -> list[str]:
        """Column of non-empty strings."""
        values = self._values(field)
        self._refuse_other_than(field, values, _is_text, "a non-empty text")
        return values

    def flags(self, field: str) -> tuple[np.ndarray, dict[str, Finding]]:
        """Column of truth values, (N,) bool, and what is worth a note; false where absent.

        0, 1, `false` and `true` are taken, also as text (to the official readers any text is
        true), and from another spelling of the field where a record has none of its own.

        Raises:
            UserError: anything else, or two spellings that disagree.
        """
        keys = set(chain.from_iterable(self.records))
        words = _SPELLINGS.get(field, (field,))
        others = [key for key in sorted(keys - {field}) if _bare(key) in words]
        column, notes = self._truths(field)
        for spelling in others:
            has_own = np.fromiter((field in record for record in self.records), bool, len(self))
            values, more = self._truths(spelling)
            used = np.fromiter((spelling in record for record in self.records), bool, len(self))
            odd = np.flatnonzero(has_own & used & (values != column))
            if len(odd):
                self.fail(odd.tolist(), f"'{field}' and {shown(spelling)} disagree")
            column = column | values
            finding = self.finding(used & ~has_own)
            notes |= more | ({f"{shown(spelling)} read as '{field}'": finding} if finding else {})
        return column, notes

    def _truths(self, field: str) -> tuple[np.ndarray, dict[str, Finding]]:
        values = [record.get(field) for record in self.records]
        kinds = set(map(type, values))
        if kinds <= {bool, int, float, type(None)} and set(values) <= {None, 0, 1}:
            return np.fromiter(map(bool, values), bool, len(values)), {}
        self._refuse_other_than(field, values, _is_flag, "0 or 1")
        truths = [_FLAG_WORDS.get(v.lower(), False) if type(v) is str else bool(v) for v in values]
        spelt = np.array([type(value) is str for value in values], bool)
        finding = self.finding(spelt)
        return np.array(truths, bool), {f"'{field}' written as text": finding} if finding else {}

    def _values(self, field: str, default: Any = None) -> list[Any]:
        try:
            return [record[field] for record in self.records]
        except KeyError:
            if default is None:
                rows = [row for row, record in enumerate(self.records) if field not in record]
                self.fail(rows, f"'{field}' is missing")
        return [record.get(field, default) for record in self.records]

    def _refuse_other_than(
        self, field: str, values: list[Any], fits: Callable[[Any], bool], wanted: str
    ) -> None:
        rows = [row for row, value in enumerate(values) if not fits(value)]
        if rows:
            self.fail(rows, f"'{field}' is {shown(values[rows[0]])}, must be {wanted}")

    def _refuse(self, mask: np.ndarray, field: str, wanted: str) -> None:
        if mask.any():
            rows = np.flatnonzero(mask).tolist()
            value = shown(self.records[rows[0]][field])
            self.fail(rows, f"'{field}' is {value}, must be {wanted}")


def _column(values: Iterable[Any], dtype: type, count: int) -> np.ndarray | None:
    """None where a number is too large for the type."""
    try:
        return np.fromiter(values, dtype, count)
    except OverflowError:
        return None


def _bare(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "").replace(" ", "")


def _is_whole(value: Any) -> bool:
    if type(value) is float:
        return value.is_integer() and abs(value) < _EXACT
    return type(value) is int and abs(value) < LARGEST


def _is_number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < LARGEST)


def _is_box(value: Any) -> bool:
    return type(value) is list and len(value) == 4 and all(map(_is_number, value))


def _is_text(value: Any) -> bool:
    return type(value) is str and bool(value.strip())


def _is_flag(value: Any) -> bool:
    if type(value) is str:
        return value.lower() in _FLAG_WORDS
    return value is None or (type(value) in (bool, int, float) and value in (0, 1))
