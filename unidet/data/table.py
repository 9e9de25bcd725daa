"""Lists of JSON records, read column by column, with errors that name the record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from unidet.errors import UserError

_EXACT = 2**53  # beyond this a float no longer tells neighbouring whole numbers apart


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, without `segmentation`s: these are most of a file and never used.

    Raises:
        UserError: the file is absent, unreadable, malformed, or holds no object.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file, object_hook=_without_segmentation)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; annotations belong there") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: line {error.lineno}: malformed JSON: {error.msg}") from None
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise UserError(f"{path}: holds a {kind}, expected an object with images and categories")
    return content


def _without_segmentation(record: dict[str, Any]) -> dict[str, Any]:
    record.pop("segmentation", None)
    return record


@dataclass(frozen=True)
class Table:
    """The list under one key of a JSON file: N records."""

    file: Path
    key: str
    records: list[dict[str, Any]]

    @classmethod
    def of(cls, file: Path, content: dict[str, Any], key: str) -> Table:
        """The table under `key`; UserError where it is absent, empty or no list of objects."""
        if key not in content:
            raise UserError(f"{file}: has no '{key}'; expected images, annotations, categories")
        table = cls(file, key, content[key])
        if not isinstance(table.records, list):
            raise UserError(f"{file}: '{key}' must be a list")
        if not table.records:
            raise UserError(f"{file}: '{key}' is empty: nothing to read")
        for row, record in enumerate(table.records):
            if not isinstance(record, dict):
                table.fail(row, "must be an object")
        return table

    def __len__(self) -> int:
        return len(self.records)

    def where(self, row: int) -> str:
        """Name of a record within the file, such as `annotations[17] (id 42)`."""
        record = self.records[row]
        own = f" (id {record['id']})" if isinstance(record, dict) and "id" in record else ""
        return f"{self.key}[{row}]{own}"

    def fail(self, row: int, problem: str) -> NoReturn:
        """Raise a UserError about one record."""
        raise UserError(f"{self.file}: {self.where(row)}: {problem}")

    def numbers(self, field: str, width: int | None = None, default: Any = None) -> np.ndarray:
        """Column of numbers, (N,) or with `width` (N, width); int64 or float64 as written.

        Records without the field take `default`, and are an error where that is None.
        """
        shape = () if width is None else (width,)
        values = [record.get(field, default) for record in self.records]
        try:
            column = np.asarray(values)
        except ValueError:  # lists of different lengths
            column = np.empty(0)
        if column.shape == (len(values), *shape) and column.dtype.kind in "if":
            return column
        for row, value in enumerate(values):
            if not _is_numeric(value, shape):
                wanted = "a number" if width is None else f"{width} numbers"
                self._reject(row, field, wanted)
        raise UserError(f"{self.file}: {self.key}: '{field}' is not numeric throughout")

    def integers(self, field: str) -> np.ndarray:
        """Column of whole numbers, (N,) int64."""
        column = self.numbers(field)
        if column.dtype.kind == "f":
            whole = np.isfinite(column) & (column == np.rint(column)) & (np.abs(column) < _EXACT)
            if not whole.all():
                self._reject(int(np.argmin(whole)), field, "a whole number")
        return column.astype(np.int64)

    def ids(self) -> np.ndarray:
        """The records' own ids, (N,) int64, each used once."""
        ids = self.integers("id")
        order = np.argsort(ids, kind="stable")
        repeated = np.flatnonzero(ids[order][1:] == ids[order][:-1])
        if len(repeated):
            row = int(order[repeated + 1].min())
            first = int(np.flatnonzero(ids == ids[row])[0])
            self.fail(row, f"its id is already taken by {self.key}[{first}]; ids must be unique")
        return ids

    def rows_in(self, field: str, ids: np.ndarray, what: str) -> np.ndarray:
        """For each record the row (N,) int32 of its `field` within `ids`.

        Raises:
            UserError: a record refers to an id that is not there.
        """
        wanted = self.integers(field)
        order = np.argsort(ids)
        place = order[np.minimum(np.searchsorted(ids, wanted, sorter=order), len(ids) - 1)]
        unknown = np.flatnonzero(ids[place] != wanted)
        if len(unknown):
            row = int(unknown[0])
            self.fail(row, f"{field} {wanted[row]} is not among the {len(ids)} {what}")
        return place.astype(np.int32)

    def texts(self, field: str) -> list[str]:
        """Column of non-empty strings."""
        for row, record in enumerate(self.records):
            if not isinstance(record.get(field), str) or not record[field].strip():
                self._reject(row, field, "a non-empty text")
        return [record[field] for record in self.records]

    def flags(self, field: str) -> np.ndarray:
        """Column of truth values, (N,) bool; false where the field is absent."""
        return np.fromiter((bool(record.get(field)) for record in self.records), bool, len(self))

    def _reject(self, row: int, field: str, wanted: str) -> NoReturn:
        record = self.records[row]
        got = f"is {record[field]!r:.60}" if field in record else "is missing"
        self.fail(row, f"'{field}' {got}, must be {wanted}")


def _is_numeric(value: Any, shape: tuple[int, ...]) -> bool:
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return array.shape == shape and array.dtype.kind in "if"
