"""A log file as lines, and errors that name one of them."""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unidet.errors import UserError

KNOWN = (
    "log.csv of unidet, .log or .log.json of mmdet, logs.txt of nanodet, log.txt of DETR or RT-DETR"
)


LARGEST_COUNT = 10**15
"""No training has more steps."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # of a terminal, whose output was saved
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LogText:
    """Lines without their ends; `open_end` where the last one has none, its writer being busy."""

    path: Path
    lines: list[str]
    open_end: bool

    def error(self, index: int, what: str) -> UserError:
        """What is wrong with the line at `index`, which people count from 1."""
        return UserError(f"{self.path}, line {index + 1}: {what}")


def read_text(path: Path) -> LogText:
    """The file's lines, in UTF-8 or, with a byte order mark, as PowerShell's `>` writes them.

    Raises:
        UserError: no such file, not text, or nothing in it.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content.startswith(_UTF_16) else "utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a log is one of: {KNOWN}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not text; a log is one of: {KNOWN}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    lines = _COLOURS.sub("", text).splitlines()
    if not text.strip():
        raise UserError(f"{path}, line 1: the file is empty; a log is one of: {KNOWN}")
    return LogText(path, lines, open_end=not text.endswith("\n"))


def json_records(log: LogText) -> tuple[list[tuple[int, dict[str, Any]]], int]:
    """(index, object) of every line of JSON lines, and how many lines at the end were cut off.

    Raises:
        UserError: a line before the last that is no JSON object.
    """
    records: list[tuple[int, dict[str, Any]]] = []
    last = max(index for index, line in enumerate(log.lines) if line.strip())
    for index, line in enumerate(log.lines):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if index == last:
                return records, 1
            raise log.error(index, f"not JSON ({error}); remove the line to go on") from None
        if not isinstance(record, dict):
            raise log.error(index, "a JSON object was expected, one on each line")
        records.append((index, record))
    return records, 0


def number(value: Any) -> float | None:
    """A number of a JSON record; None for whatever else stands there."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def require_counts(
    log: LogText, index: int, record: dict[str, Any], names: tuple[str, ...]
) -> None:
    """UserError where one of these is there and no count; a float holds it exactly."""
    for name in names:
        value = record.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_COUNT:
            raise log.error(index, f"{name!r} is {value!r:.40}, must be a whole number")
