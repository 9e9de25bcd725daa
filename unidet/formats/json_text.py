"""JSON files, read with bounded memory; whatever is wrong with the text is one line."""

from __future__ import annotations

import json
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unidet.errors import UserError

RECORDS_PER_BATCH = 65536
_DEPTH = 200
"""So deeply may JSON be nested; no format comes to ten."""
_SEPARATOR = re.compile(r"\s*([,\]])\s*")
_OPENING = re.compile(r"\s*\[\s*(\]\s*)?")


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON file, without `segmentation`s: these are most of a file and never used.

    Raises:
        UserError: the file is absent, unreadable, malformed, or holds no object.
    """
    text = _read_text(path)
    with _faults_named(path):
        document = json.loads(text, object_hook=_without_segmentation)
    if not isinstance(document, dict):
        raise UserError(
            f"{path}: holds no object; annotations are a JSON object with images, annotations "
            "and categories"
        )
    return document


def record_batches(path: Path) -> Iterator[tuple[int, list[Any]]]:
    """Batches (number of the first record, records) of a file that holds one JSON list.

    Records are decoded one at a time, so that millions of detections never exist as Python
    objects at once.

    Raises:
        UserError: the file is absent, unreadable, malformed, or holds no list.
    """
    text = _read_text(path)
    with _faults_named(path):
        opening = _OPENING.match(text)
        if opening is None:
            json.loads(text)
            raise UserError(f"{path}: holds no list; a results file is a JSON list of detections")
        position, last = opening.end(), opening.group(1) is not None
        _require_end(text, position, last)
    start = 0
    while not last:
        with _faults_named(path):
            records, position, last = _decoded(text, position)
        yield start, records
        start += len(records)


def _decoded(text: str, position: int) -> tuple[list[Any], int, bool]:
    """The records of a batch, where the next one begins, whether they are the last."""
    decode = json.JSONDecoder().raw_decode
    records: list[Any] = []
    last = False
    while not last and len(records) < RECORDS_PER_BATCH:
        record, position = decode(text, position)
        records.append(record)
        separator = _SEPARATOR.match(text, position)
        if separator is None:
            raise json.JSONDecodeError("Expecting ',' or ']'", text, position)
        position, last = separator.end(), separator.group(1) == "]"
    _require_end(text, position, last)
    return records, position, last


def _require_end(text: str, position: int, last: bool) -> None:
    if last and position != len(text):
        raise json.JSONDecodeError("Extra data", text, position)


def shown(value: Any) -> str:
    """A value from a file as part of a one-line message, cut where it is long."""
    return f"{value!r:.60}"


def _read_text(path: Path) -> str:
    """Text in UTF-8, UTF-16 or UTF-32, with or without a byte order mark."""
    try:
        content = Path(path).read_bytes()
        return content.decode(json.detect_encoding(content))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{path}: not a JSON text file ({fault.reason})") from None
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror})") from None


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """Around decoding. Jittor lets Python recurse until the stack overflows: not meanwhile."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(min(limit, _DEPTH + sum(1 for _ in traceback.walk_stack(None))))
    try:
        yield
    except json.JSONDecodeError as fault:
        raise UserError(
            f"{path}: malformed JSON at line {fault.lineno}, column {fault.colno}: {fault.msg}; "
            "is the file complete?"
        ) from None
    except RecursionError:
        raise UserError(f"{path}: malformed JSON: nested too deeply to be read") from None
    except ValueError:  # Python converts no number of more than 4,300 digits
        raise UserError(f"{path}: malformed JSON: a number of thousands of digits") from None
    finally:
        sys.setrecursionlimit(limit)


def _without_segmentation(record: dict[str, Any]) -> dict[str, Any]:
    record.pop("segmentation", None)
    return record
