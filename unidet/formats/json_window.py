"""The text of a JSON file, seen through a window of some megabytes.

Python's own decoder says what is JSON and what a fault is called; orjson, more than twice as fast,
decodes the lists of records that make up most of a file, where nothing faster does.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import orjson

from unidet.errors import HEAD, UserError, other_kind, require_end

PIECE = 1 << 22
"""So many bytes are read at once; a window is larger where one value is."""
_DEPTH = 200
"""So deeply may JSON be nested; no format comes to ten."""
_SPACE = re.compile(r"[ \t\n\r]*")
_LONGEST_WORD = len("-Infinity") + 4  # what the end of a window may cut, texts aside
_MOST_LOOKS = 100  # for the end of a record, from the end of the window
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Scanned:
    """Records read without a Python object for each.

    Attributes:
        count: of the records; `length`: of their text.
        columns: field -> (count, …) its values.
    """

    count: int
    length: int
    columns: Mapping[str, np.ndarray]


Scan = Callable[[str], Scanned | None]
"""Reads the records that a text begins with, and perhaps the end of their list behind them; None
where it cannot."""


@dataclass(frozen=True)
class Batch:
    """Values of a list, one after another.

    Attributes:
        start: the number of the first.
        values: those of orjson, to which whole numbers beyond 64 bits are floats.
        exact: decodes them as Python does.
        scanned: what a scan has read in place of the values.
    """

    start: int
    values: list[Any]
    exact: Callable[[], list[Any]]
    scanned: Scanned | None = None

    @classmethod
    def of(cls, values: list[Any]) -> Batch:
        """All values of a list in memory."""
        return cls(0, values, lambda: values)

    def __len__(self) -> int:
        return len(self.values) if self.scanned is None else self.scanned.count


@contextmanager
def opened(path: Path, exactly: bool) -> Iterator[Window]:
    """A file that is read; UserError where it cannot be."""
    try:
        window = Window(Path(path), exactly)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as fault:
        raise UserError(f"{path}: cannot be read ({fault.strerror})") from None
    with window.file:
        yield window


class Window:
    """The text of a file from `position` on, as much of it as is needed at once.

    In UTF-8, UTF-16 or UTF-32, with or without a byte order mark.
    """

    def __init__(self, path: Path, exactly: bool) -> None:
        self.path, self.exactly = path, exactly
        require_end(path)
        self.file = path.open("rb")
        start = self.file.read(HEAD)
        if reason := other_kind(start):
            self.file.close()
            raise UserError(f"{path}: {reason}")
        self.file.seek(0)
        self.decoder = codecs.getincrementaldecoder(json.detect_encoding(start[:4]))()
        self.text, self.position, self.ended = "", 0, False
        self.before = 0  # characters of the file before the window
        self.lines, self.columns = 0, 0  # the same in whole lines, and in the line it begins in

    def more(self) -> bool:
        """Move the window on, to what is left of it and as much again; False at the file's end."""
        if self.ended:
            return False
        self.before += self.position
        if (last := self.text.rfind("\n", 0, self.position)) < 0:
            self.columns += self.position
        else:
            self.lines += self.text.count("\n", 0, self.position)
            self.columns = self.position - last - 1
        self.text = self.text[self.position :]
        self.position = 0
        size = max(PIECE, len(self.text))
        try:
            piece = self.file.read(size)
            self.ended = len(piece) < size
            self.text += self.decoder.decode(piece, final=self.ended)
        except UnicodeDecodeError as fault:
            raise UserError(
                f"{self.path}: not a JSON text file in UTF-8 or UTF-16 ({fault.reason}); "
                "save it as UTF-8"
            ) from None
        except OSError as fault:
            raise UserError(f"{self.path}: cannot be read ({fault.strerror})") from None
        return True

    def next(self) -> str:
        """The next character that is no space, at which the window is then; empty at the end."""
        while True:
            self.position = _SPACE.match(self.text, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self.text) or not self.more():
                return self.text[self.position : self.position + 1]

    def follows(self, character: str) -> bool:
        """Whether a character stands next, which is passed over then."""
        is_next = self.next() == character
        self.position += is_next
        return is_next

    def take(self, character: str) -> None:
        """Pass over a character that must stand next."""
        if not self.follows(character):
            self.fail(f"Expecting '{character}' delimiter")

    def items(self, closing: str) -> Iterator[None]:
        """Once for each item, or run of items, of the list or object that begins here; whoever asks
        takes it."""
        self.position += 1
        is_first = True
        while not self.follows(closing):
            if not is_first:
                self.take(",")
            is_first = False
            yield

    def require_end(self) -> None:
        """Refuse whatever follows."""
        if self.next():
            self.fail("Extra data")

    def value(self) -> Any:
        """The value that stands next."""
        with self._faults_named():
            return self._value()

    def batch(self, start: int, scan: Scan | None) -> Batch:
        """The values of a list from here on, of which the first has number `start`, up to about the
        end of the window."""
        if len(self.text) - self.position < PIECE // 2:
            self.more()
        end = self._end_of_records()
        records = self.text[self.position : end]
        if scan is not None and (scanned := scan(records)) is not None:
            self.position += scanned.length
            return Batch(start, [], list, scanned)
        text = f"[{records}]"
        try:
            values = None if self.exactly or not end else orjson.loads(text)
        except orjson.JSONDecodeError as fault:
            text = _list_in(text, fault)
            values = orjson.loads(text) if text else None
        if values is None:
            exactly = self._values(end or len(self.text))
            return Batch(start, exactly, lambda: exactly)
        self.position += len(text) - len("[]")
        return Batch(start, values, lambda: self._exact(text))

    def _value(self) -> Any:
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self.text, self.position)
            except json.JSONDecodeError as fault:
                is_cut = fault.pos >= len(self.text) - _LONGEST_WORD
                if (is_cut or fault.msg.startswith("Unterminated")) and self.more():
                    continue
                raise
            # a number may go on behind the window
            if end < len(self.text) - _LONGEST_WORD or not self.more():
                self.position = end
                return value

    def _values(self, end: int) -> list[Any]:
        last = self.before + end
        with self._faults_named():
            values = [self._value()]
            while self.before + self.position < last and self.follows(","):
                values.append(self._value())
        return values

    def _exact(self, text: str) -> list[Any]:
        with self._faults_named():
            return _DECODER.decode(text)

    def _end_of_records(self) -> int:
        """Behind the last object in the window that another seems to follow, or the list's end; 0
        where there is none.

        Only seems: it may lie within a text or a deeper list. What comes before it is then no list
        of whole values, and no decoder takes it for one.
        """
        brace = len(self.text)
        for _ in range(_MOST_LOOKS):
            brace = self.text.rfind("}", self.position, brace)
            if brace < 0:
                break
            follows = self.text[brace + 1 : brace + 200].lstrip()
            if follows[:1] == "]" or (follows[:1] == "," and follows[1:].lstrip()[:1] == "{"):
                return brace + 1
        return 0

    def fail(self, problem: str) -> NoReturn:
        """UserError about what stands next."""
        with self._faults_named():
            raise json.JSONDecodeError(problem, self.text, self.position)

    @contextmanager
    def _faults_named(self) -> Iterator[None]:
        """Around decoding. Jittor lets Python recurse until the stack overflows: not meanwhile."""
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(min(limit, _DEPTH + sum(1 for _ in traceback.walk_stack(None))))
        try:
            yield
        except json.JSONDecodeError as fault:
            line = self.lines + fault.lineno
            column = fault.colno + self.columns * (fault.lineno == 1)
            raise UserError(
                f"{self.path}: malformed JSON at line {line}, column {column}: {fault.msg}; "
                "is the file complete?"
            ) from None
        except RecursionError:
            raise UserError(f"{self.path}: malformed JSON: nested too deeply to be read") from None
        except ValueError:  # Python converts no number of more than 4,300 digits
            raise UserError(
                f"{self.path}: malformed JSON: a number of thousands of digits"
            ) from None
        finally:
            sys.setrecursionlimit(limit)


def _list_in(text: str, fault: orjson.JSONDecodeError) -> str:
    """The list that a text begins with, if that is all that is wrong with it; else nothing."""
    if not str(fault).startswith("unexpected content after document"):
        return ""
    return text[: text.rfind("]", 0, fault.pos) + 1]
