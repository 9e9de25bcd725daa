"""Standard output and error, which may be closed, full, or lack characters."""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from unidet.redaction import redact

OUTPUT = "standard output"  # the file name of an error that it meets


class Output(io.TextIOWrapper):
    """Standard output that marks its errors as its own."""

    def write(self, text: str) -> int:
        with _named():
            return super().write(text)

    def flush(self) -> None:
        with _named():
            super().flush()


class Errors(io.TextIOWrapper):
    """Standard error that is given up where nothing can be written: no work ends for its words."""

    def write(self, text: str) -> int:
        with self._given_up():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._given_up():
            super().flush()

    @contextmanager
    def _given_up(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            abandon(self)


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = OUTPUT
        raise


def prepare() -> None:
    """Make printing safe, however the command was started.

    A closed stream is opened on nothing (else the next file would get its number), a standard error
    that is full or that nobody reads any more is left, letters that a terminal lacks are written as
    escapes, and warnings are one line.
    """
    closed = _open_closed()
    heard = sys.__stderr__
    if heard is not None and sys.stderr is heard:
        sys.stderr = _over(heard, Errors)
    if 1 in closed:
        complain("standard output is closed; nothing is printed there")
    old = sys.__stdout__
    if old is not None and sys.stdout is old:
        sys.stdout = _over(old, Output)
    warnings.formatwarning = lambda message, *_, **__: f"unidet: {plain(str(message))}\n"
    # Matplotlib itself, not its parts, warns where it cannot keep its settings and of what a user's
    # say. No figure depends on either (`report.style.figure_style`).
    logging.getLogger("matplotlib").addFilter(_is_error)


def _over(stream: io.TextIOWrapper, kind: type[io.TextIOWrapper]) -> io.TextIOWrapper:
    """A stream of `kind` that writes as promptly as this one, also where Python is unbuffered."""
    return kind(
        stream.buffer,
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def complain(text: str) -> None:
    """Print one line on standard error, without passwords."""
    print(f"unidet: {plain(redact(text))}", file=sys.stderr, flush=True)


def abandon(stream: TextIO) -> None:
    """Stop writing to a stream: its buffer would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def plain(text: str) -> str:
    """Untrusted text as one line without control codes."""
    from unidet.console.terminal import printable  # which takes its time to load

    return printable(text.replace("\n", " "))


def _open_closed() -> list[int]:
    """Open what is closed on nothing; returns which streams these are."""
    names = {1: "stdout", 2: "stderr"}
    closed = [number for number in (0, *names) if not _is_open(number)]
    for number in closed:
        nothing = os.open(os.devnull, os.O_RDWR)
        if nothing != number:
            os.dup2(nothing, number)
            os.close(nothing)
    for number, name in names.items():
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.dup(number), "w", errors="backslashreplace"))
    return closed


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
