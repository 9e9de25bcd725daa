"""Reads a log file as lines; errors name the line."""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unidet.errors import UserError, require_end

KNOWN = (
    "log.csv of unidet, .log or .log.json of mmdet, logs.txt of nanodet, log.txt of DETR or RT-DETR"
)


LARGEST_COUNT = 10**15
"""Larger than the number of steps of any training."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")  # in saved output of a terminal
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LogText:
    """Lines without line ends; `open_end`: the last line is unfinished, as while being written."""

    path: Path
    lines: list[str]
    open_end: bool

    def error(self, index: int, what: str) -> UserError:
        """An error about the line at `index`; the message counts lines from 1."""
        return UserError(f"{self.path}, line {index + 1}: {what}")


def read_text(path: Path) -> LogText:
    """The file's lines, in UTF-8, or in UTF-16 with a byte order mark (PowerShell's `>`).

    Raises:
        UserError: the file does not exist, is not readable, is no text, or is empty.
    """
    try:
        require_end(path)
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
    """(index, object) of every line of JSON Lines, and the number of incomplete lines at the end.

    Raises:
        UserError: a line before the last is no JSON, or a line is no JSON object.
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
    """A number of a JSON record as float; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def require_counts(
    log: LogText, index: int, record: dict[str, Any], names: tuple[str, ...]
) -> None:
    """UserError if one of these values exists and is no whole number that a float can represent."""
    for name in names:
        value = record.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_COUNT:
            raise log.error(index, f"{name!r} is {value!r:.40}, must be a whole number")
