"""Lists of JSON records as columns, with errors that name the record."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from unidet.formats.batch_columns import BOX, SHAPE, Fields, kind_of, parts_of, spellings_of
from unidet.formats.columns import (
    AS_TEXT,
    FLAG,
    LARGEST,
    NULL,
    TRUE,
    Column,
    GrowingColumn,
    is_box,
    is_flag,
    is_id_list,
    is_number,
    is_whole,
    missed_limit,
)
from unidet.formats.findings import Finding, TableFault
from unidet.formats.growing import blocks, forget
from unidet.formats.json_text import shown
from unidet.formats.json_window import Batch
from unidet.records import rows_among

_BOX = "[x, y, width, height]"
_SHOWN = 3  # ids in a message


@dataclass(frozen=True)
class Table:
    """N records under one key of a file.

    Attributes:
        columns: field -> its values; none for a field that no record has.
        strays: row -> what stands there and is no object.
        positions: (N,) the records' numbers in the file, where some were left out.
    """

    file: Path
    key: str
    count: int
    columns: Mapping[str, Column]
    strays: Mapping[int, Any] = field(default_factory=dict)
    positions: np.ndarray | None = None

    @classmethod
    def of(cls, file: Path, key: str, batches: Iterable[Batch], fields: Fields) -> Table:
        """The columns of these fields, and of other spellings of flags."""
        growing: dict[str, GrowingColumn] = {}
        strays: dict[int, Any] = {}
        count = 0
        for batch in batches:
            parts, odd = parts_of(batch, fields)
            strays |= {count + row: value for row, value in odd.items()}
            for name, part in parts.items():
                column = growing.setdefault(name, GrowingColumn(kind_of(name, fields) or FLAG))
                column.add(count, part.values, part.absent, part.written)
            count += len(batch)
        columns = {name: column.column(count) for name, column in growing.items()}
        return cls(file, key, count, columns, strays)

    def checked(self) -> Table:
        """The same; UserError where a record is no object."""
        if self.strays:
            rows = sorted(self.strays)
            self.fail(rows, f"is {shown(self.strays[rows[0]])}, must be an object")
        return self

    def take(self, rows: np.ndarray) -> Table:
        """The records at `rows`, which ascend."""
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        kept = {place: int(row) for place, row in enumerate(rows) if row in self.strays}
        return replace(
            self,
            count=len(rows),
            columns=columns,
            strays={place: self.strays[row] for place, row in kept.items()},
            positions=rows if self.positions is None else self.positions[rows],
        )

    def __len__(self) -> int:
        return self.count

    # --- messages ------------------------------------------------------------------------------

    def where(self, row: int) -> str:
        """Name of a record within the file, such as `annotations[17] (id 42)`."""
        column = self.columns.get("id")
        if column is None or (column.absent is not None and column.absent[row]):
            return self._place(row)
        number = column.written.get(row, int(column.values[row]))
        return f"{self._place(row)} (id {shown(number)})"

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

    # --- columns -------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether every record has the field."""
        return name in self.columns and self.columns[name].absent is None

    def present(self, name: str) -> np.ndarray:
        """(N,) bool, whether a record has the field."""
        if name not in self.columns:
            return np.zeros(self.count, bool)
        absent = self.columns[name].absent
        return np.ones(self.count, bool) if absent is None else ~absent

    def values(self, name: str, default: Any = None) -> list[Any]:
        """A column that is kept as it is written; its kind's filler where a record has no such
        field, `default` where none has."""
        return self.columns[name].values if name in self.columns else [default] * self.count

    def value(self, name: str, row: int) -> Any:
        """What `values` has at a row."""
        return self.columns[name].values[row] if name in self.columns else None

    def integers(self, name: str, default: int | None = None, advice: str = "") -> np.ndarray:
        """(N,) int64; records without the field take `default`, and are an error if it is None.

        `advice` says what to do about a value that is none.
        """
        return self._fitting(name, default, is_whole, "a whole number", np.int64, advice)

    def integers_if_any(self, name: str) -> np.ndarray:
        """(N,) int64; 0 for records without the field, or with `null`."""
        return self._fitting(
            name, 0, lambda value: value is None or is_whole(value), "a whole number", np.int64
        )

    def known_integers(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(N,) int64, and (N,) bool whether a record has such a number; of a table with faults."""
        if name not in self.columns:
            return np.zeros(self.count, np.int64), np.zeros(self.count, bool)
        column, are_known = self.columns[name], self.present(name)
        are_known[list(column.written)] = False
        return column.values, are_known

    def numbers(self, name: str, default: float | None = None) -> np.ndarray:
        """(N,) float64 as written, which may be NaN, infinite or absurdly large."""
        return self._fitting(name, default, is_number, "a number", np.float64)

    def finite_numbers(self, name: str) -> np.ndarray:
        """(N,) float64, finite and smaller than `LARGEST`."""
        column = self.numbers(name)
        self._refuse(name, column, lambda values: ~(np.abs(values) < LARGEST), "a finite number")
        return column

    def boxes(self) -> np.ndarray:
        """(N, 4) float64 x, y, width, height as written, like `numbers`, or around an outline."""
        outlined = self.outlined()
        if not outlined.any():
            return self._fitting(BOX, None, is_box, _BOX, np.float64).reshape(-1, 4)
        boxes = self.columns[SHAPE].values.copy()
        boxes[~outlined] = self.take(np.flatnonzero(~outlined)).boxes()
        return boxes

    def outlined(self) -> np.ndarray:
        """(N,) bool, whether a record has no box, or an empty one, but an outline."""
        if SHAPE not in self.columns:
            return np.zeros(self.count, bool)
        lacking = ~self.present(BOX)
        written = self.columns[BOX].written if BOX in self.columns else {}
        lacking[[row for row, box in written.items() if box is None or box == []]] = True
        return lacking & np.isfinite(self.columns[SHAPE].values).all(axis=1)

    def require_sound(self, boxes: np.ndarray) -> None:
        """UserError where one of the `boxes` is not finite or has a negative side."""
        self._refuse(
            BOX, boxes, lambda odd: ~(np.abs(odd) < LARGEST).all(axis=1), f"{_BOX}, all finite"
        )
        self._refuse(
            BOX, boxes, lambda odd: (odd[:, 2:] < 0).any(axis=1), f"{_BOX}, no side negative"
        )

    def ids(self) -> np.ndarray:
        """The records' own ids, (N,) int64, each used once."""
        ids = self.integers("id", advice="; number the records, and refer to them by these numbers")
        ordered = np.sort(ids)
        if (ordered[1:] == ordered[:-1]).any():
            self._fail_of_repeated(ids)
        forget(ids)
        return ids

    def _fail_of_repeated(self, ids: np.ndarray) -> NoReturn:
        order = np.argsort(ids, kind="stable")
        repeated = np.flatnonzero(ids[order][1:] == ids[order][:-1])
        rows = sorted(order[repeated + 1].tolist())
        first = int(np.flatnonzero(ids == ids[rows[0]])[0])
        self.fail(
            rows,
            f"its id is already taken by {self._place(first)}; ids must be unique",
            "its id is already taken; ids must be unique",
        )

    def rows_in(self, name: str, ids: np.ndarray, what: str, advice: str = "") -> np.ndarray:
        """For each record the row (N,) int32 of its field within `ids`, which are `what`.

        `advice` says what to do about a number that is none of them.

        Raises:
            UserError: a record refers to an id that is not there.
        """
        known = ", ".join(map(str, ids[:_SHOWN].tolist())) + ", …" * (len(ids) > _SHOWN)
        numbers = f": the id of one of the {what} ({known or 'there are none'}), not its name"
        wanted = self.integers(name, advice=numbers)
        rows = np.empty(len(wanted), np.int32)
        unknown: list[int] = []
        for block in blocks(wanted):
            rows[block] = rows_among(ids, wanted[block])
            unknown += (block.start + np.flatnonzero(rows[block] < 0)).tolist()
        if unknown:
            self.fail(
                unknown,
                f"{name} {wanted[unknown[0]]} is not among the {len(ids)} {what}"
                + (f", whose ids are {known}" if known else "")
                + advice,
                f"{name} is not among the {what}",
            )
        return rows

    def texts(self, name: str) -> list[str]:
        """Column of non-empty strings."""
        self._require_present(name)
        values = self.values(name)
        wrong = [
            row for row, text in enumerate(values) if type(text) is not str or not text.strip()
        ]
        if wrong:
            self.fail(wrong, f"'{name}' is {shown(values[wrong[0]])}, must be a non-empty text")
        return values

    def id_lists(self, name: str) -> list[list[int]]:
        """Column of lists of ids, empty where there is none."""
        if name in self.columns:
            self._require(name, is_id_list, "a list of category ids")
        return self.values(name, ())

    def flags(self, name: str) -> tuple[np.ndarray, dict[str, Finding]]:
        """Column of truth values, (N,) bool, and what is worth a note; false where absent.

        0, 1, `false` and `true` are taken, also as text (to the official readers any text is
        true), and from another spelling of the field where a record has none of its own.

        Raises:
            UserError: anything else, or two spellings that disagree.
        """
        column, notes = self._truths(name)
        for spelling in spellings_of(name, self.columns):
            has_own, used = self.present(name), self.present(spelling)
            values, more = self._truths(spelling)
            odd = np.flatnonzero(has_own & used & (values != column))
            if len(odd):
                self.fail(odd.tolist(), f"'{name}' and {shown(spelling)} disagree")
            column = column | values
            finding = self.finding(used & ~has_own)
            notes |= more | ({f"{shown(spelling)} read as '{name}'": finding} if finding else {})
        return column, notes

    def stated(self, name: str) -> np.ndarray:
        """(N,) bool, whether a record says of a flag what it is."""
        if name not in self.columns:
            return np.zeros(self.count, bool)
        return (self.columns[name].values & NULL) == 0

    def _truths(self, name: str) -> tuple[np.ndarray, dict[str, Finding]]:
        if name not in self.columns:
            return np.zeros(self.count, bool), {}
        self._require(name, is_flag, "0 or 1")
        values = self.columns[name].values
        finding = self.finding((values & AS_TEXT) > 0)
        truths = (values & TRUE) > 0
        return truths, {f"'{name}' written as text": finding} if finding else {}

    def _fitting(
        self,
        name: str,
        default: float | None,
        fits: Callable[[Any], bool],
        wanted: str,
        dtype: type,
        advice: str = "",
    ) -> np.ndarray:
        """The numbers of a column; UserError where one does not fit, or is needed and absent."""
        if default is None:
            self._require_present(name)
        if name not in self.columns:
            return np.full(self.count, default or 0, dtype)
        self._require(name, fits, wanted, advice)
        column = self.columns[name]
        if column.absent is None:
            return column.values
        return np.where(column.absent, np.array(default, dtype), column.values)

    def _require_present(self, name: str) -> None:
        if self.count and not self.has(name):
            self.fail(np.flatnonzero(~self.present(name)).tolist(), f"'{name}' is missing")

    def _require(
        self, name: str, fits: Callable[[Any], bool], wanted: str, advice: str = ""
    ) -> None:
        written = self.columns[name].written
        rows = sorted(row for row, value in written.items() if not fits(value))
        if rows:
            value = written[rows[0]]
            limit = missed_limit(value) if wanted.endswith("number") else ""
            self.fail(rows, f"'{name}' is {shown(value)}, must be {wanted}{limit}{advice}")

    def _refuse(
        self,
        name: str,
        values: np.ndarray,
        are_wrong: Callable[[np.ndarray], np.ndarray],
        wanted: str,
    ) -> None:
        """UserError where a value of a column is wrong, which is one of those that are odd."""
        written = self.columns[name].written if name in self.columns else {}
        odd = np.array(sorted(written), np.int64)
        rows = odd[are_wrong(values[odd])].tolist()
        if rows:
            self.fail(rows, f"'{name}' is {shown(written[rows[0]])}, must be {wanted}")
