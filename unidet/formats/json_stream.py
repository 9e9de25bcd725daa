"""The lists of a JSON object one record at a time: for files that are larger than memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from unidet.errors import UserError

_PIECE = 1 << 22
_SPACE = re.compile(r"[ \t\r\n]*")


def list_records(path: Path) -> Iterator[tuple[str, Any]]:
    """(key, record) of every list directly in the object of a file in UTF-8, in the file's order.

    What is no list is passed over.

    Raises:
        UserError: the file is absent, malformed, cut off, or holds no object.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from _Reader(path, stream).records()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except UnicodeDecodeError as fault:
        raise UserError(f"{path}: not a JSON text file in UTF-8 ({fault.reason})") from None


class _Reader:
    """The text around the place that is being read."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        self._path = path
        self._stream = stream
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._read = 0

    def records(self) -> Iterator[tuple[str, Any]]:
        self._take("{", "an object")
        if self._mark() == "}":
            return
        while True:
            key = self._value()
            self._take(":", "':'")
            if self._mark() == "[":
                for record in self._list():
                    yield key, record
            else:
                self._value()
            if self._take(",}", "',' or '}'") == "}":
                return

    def _list(self) -> Iterator[Any]:
        self._take("[", "'['")
        if self._mark() == "]":
            self._at += 1
            return
        while True:
            yield self._value()
            if self._take(",]", "',' or ']'") == "]":
                return

    def _take(self, marks: str, what: str) -> str:
        mark = self._mark()
        if not mark or mark not in marks:
            raise self._fault(f"expected {what}")
        self._at += 1
        return mark

    def _mark(self) -> str:
        """The next character that is no space, without taking it; empty at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def _value(self) -> Any:
        self._mark()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as fault:
                if not self._more():
                    raise self._fault(fault.msg) from None
                continue
            except (RecursionError, ValueError):
                raise self._fault("nested too deeply, or a number of thousands of digits") from None
            if end < len(self._text) or not self._more():  # a number may go on
                self._at = end
                return value

    def _more(self) -> bool:
        """Append to the text what follows, as much again as there is; whether anything did."""
        piece = self._stream.read(max(_PIECE, len(self._text) - self._at))
        self._read += self._at
        self._text, self._at = self._text[self._at :] + piece, 0
        return bool(piece)

    def _fault(self, reason: str) -> UserError:
        place = self._read + self._at
        return UserError(
            f"{self._path}: malformed JSON at character {place}: {reason}; is the file complete?"
        )
