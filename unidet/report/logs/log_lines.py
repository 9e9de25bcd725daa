"""A log file as lines, and errors that name one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unidet.errors import UserError

KNOWN = (
    "log.csv of unidet, .log or .log.json of mmdet, logs.txt of nanodet, log.txt of DETR or RT-DETR"
)


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
    """The file's lines.

    Raises:
        UserError: no such file, not text, or nothing in it.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; a log is one of: {KNOWN}") from None
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not text; a log is one of: {KNOWN}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    lines = text.splitlines()
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
        except json.JSONDecodeError as error:
            if index == last:
                return records, 1
            raise log.error(index, f"not JSON ({error}); remove the line to go on") from None
        if not isinstance(record, dict):
            raise log.error(index, "a JSON object was expected, one on each line")
        records.append((index, record))
    return records, 0
