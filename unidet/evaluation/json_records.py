"""JSON files of records, read with bounded memory and faults named by file and record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError

RECORDS_PER_BATCH = 65536
_SEPARATOR = re.compile(r"\s*([,\]])\s*")
_OPENING = re.compile(r"\s*\[\s*(\]\s*)?")


def read_text(path: Path) -> str:
    """Text of a UTF-8 file; UserError where it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{path}: not a JSON text file ({fault.reason})") from None
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror})") from None


def malformed(path: Path, fault: json.JSONDecodeError) -> UserError:
    """The one-line message for text that is not JSON."""
    return UserError(
        f"{path}: malformed JSON at line {fault.lineno}, column {fault.colno}: {fault.msg}; "
        "is the file complete?"
    )


def record_batches(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Batches (number of the first record, records) of a file that holds one JSON list.

    Records are decoded one at a time, so that millions of detections never exist as Python
    objects at once.
    """
    text = read_text(path)
    decode = json.JSONDecoder().raw_decode
    opening = _OPENING.match(text)
    if opening is None:
        _require_json(path, text)
        raise UserError(f"{path}: holds no list; a results file is a JSON list of detections")
    try:
        position, last = opening.end(), opening.group(1) is not None
        start, batch = 0, []
        while not last:
            record, position = decode(text, position)
            batch.append(record)
            separator = _SEPARATOR.match(text, position)
            if separator is None:
                raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
            position, last = separator.end(), separator.group(1) == "]"
            if len(batch) == RECORDS_PER_BATCH:
                yield start, batch
                start, batch = start + len(batch), []
        if position != len(text):
            raise json.JSONDecodeError("Extra data", text, position)
    except json.JSONDecodeError as fault:
        raise malformed(path, fault) from None
    if batch:
        yield start, batch


def _require_json(path: Path, text: str) -> None:
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        raise malformed(path, fault) from None


def read_document(path: Path) -> dict[str, Any]:
    """A JSON object; masks ("segmentation") are dropped while parsing, they are never used."""

    def without_mask(record: dict[str, Any]) -> dict[str, Any]:
        record.pop("segmentation", None)
        return record

    try:
        document = json.loads(read_text(path), object_hook=without_mask)
    except json.JSONDecodeError as fault:
        raise malformed(path, fault) from None
    if not isinstance(document, dict):
        raise UserError(
            f"{path}: holds no object; ground truth is a JSON object with images, annotations "
            "and categories"
        )
    return document


class Columns:
    """Turns records (dicts) into checked numpy columns.

    Each method looks at all records at once and searches record by record only after a fault, to
    name it. `where` names the list in messages, `start` is the number of the first record.
    """

    def __init__(self, path: Path, where: str, records: Sequence[Any], start: int = 0) -> None:
        self.path, self.where, self.records, self.start = path, where, records, start

    def fault(self, row: int, text: str) -> UserError:
        """The error for the record at `row` of this batch."""
        return UserError(f"{self.path}: {self.where} {self.start + row}: {text}")

    def integers(self, key: str) -> np.ndarray:
        """(K,) int64."""
        return self._column(key, np.int64, (), _is_integer, "an integer")

    def known_ids(self, key: str, known: np.ndarray) -> np.ndarray:
        """(K,) int64, all of them in the ascending, non-empty `known`."""
        ids = self.integers(key)
        unknown = known[np.minimum(np.searchsorted(known, ids), len(known) - 1)] != ids
        if unknown.any():
            row = int(np.argmax(unknown))
            raise self.fault(row, f"{key} {ids[row]} is not in the ground truth")
        return ids

    def numbers(self, key: str) -> np.ndarray:
        """(K,) float64, all finite."""
        return self._column(key, np.float64, (), _is_number, "a finite number")

    def boxes(self, key: str) -> np.ndarray:
        """(K, 4) float64 x, y, width, height, all finite, sizes not negative."""
        boxes = self._column(key, np.float64, (4,), _is_box, "[x, y, width, height], all finite")
        negative = (boxes[:, 2:] < 0).any(axis=1)
        if negative.any():
            row = int(np.argmax(negative))
            raise self.fault(row, f"{key} {boxes[row].tolist()} has a negative width or height")
        return boxes

    def flags(self, key: str) -> np.ndarray:
        """(K,) bool; a record without the key counts as False."""
        return np.array([bool(record.get(key, 0)) for record in self.records], dtype=bool)

    def _column(
        self,
        key: str,
        dtype: type,
        shape: tuple[int, ...],
        is_valid: Callable[[Any], bool],
        expected: str,
    ) -> np.ndarray:
        try:
            column = np.array([record[key] for record in self.records])
        except (KeyError, TypeError, IndexError, ValueError):
            raise self._first_fault(key, is_valid, expected) from None
        if not self.records:
            return np.zeros((0, *shape), dtype=dtype)
        kinds = "i" if dtype is np.int64 else "if"
        fits = column.shape[1:] == shape and column.dtype.kind in kinds
        if not fits or not np.isfinite(column).all():
            raise self._first_fault(key, is_valid, expected)
        return column.astype(dtype)

    def _first_fault(self, key: str, is_valid: Callable[[Any], bool], expected: str) -> UserError:
        for row, record in enumerate(self.records):
            if not isinstance(record, dict):
                return self.fault(row, f"is {record!r:.60}, expected an object")
            if key not in record:
                return self.fault(row, f'lacks "{key}"')
            if not is_valid(record[key]):
                return self.fault(row, f'"{key}" is {record[key]!r:.60}, expected {expected}')
        raise AssertionError(f"{self.path}: a fault in {key} that no record shows")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_number(value: Any) -> bool:
    # beyond 64 bits numpy falls back to Python objects; no id, size or score is that large
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and abs(value) < 2**63


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(_is_number, value))
