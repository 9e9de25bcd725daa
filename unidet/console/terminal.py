"""The terminal output of a run: one line per stage, a bar for long work."""

from __future__ import annotations

import sys
import textwrap
import time
from typing import TYPE_CHECKING

from unidet.console import interrupt
from unidet.redaction import redact

if TYPE_CHECKING:
    from tqdm import tqdm  # not at run time: most commands show no bar

QUIET_INTERVAL = 15.0  # seconds between lines where there is no terminal


def say(text: str) -> None:
    """Print one line on standard error, without passwords; standard output is for results."""
    from tqdm import tqdm

    tqdm.write(printable(redact(text)), file=sys.stderr)


def printable(text: str) -> str:
    """One line of untrusted text without terminal control codes."""
    return "".join(mark if mark.isprintable() else "?" for mark in text)


class Progress:
    """A bar with time left on a terminal, a line now and then elsewhere.

    Every update is also a safe point to stop at, unless the caller has state to save first
    (`stoppable=False`).
    """

    def __init__(self, label: str, *, stoppable: bool = True) -> None:
        self._label = label
        self._stoppable = stoppable
        self._bar: tqdm | None = None
        self._said = time.monotonic()
        self._first = (0, 0, 0.0)  # `done` and `total` of the first update of a count, and its time

    def update(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` are finished; `note` is a short word such as the loss."""
        if self._first[1] != total or done < self._first[0]:  # as of the next artefact of a pull
            self._first = done, total, time.monotonic()
        if sys.stderr.isatty():
            self._draw(done, total, note)
        elif time.monotonic() - self._said >= QUIET_INTERVAL:
            self._said = time.monotonic()
            say(f"  {self._label}: {done}/{total} {note}".rstrip() + self._left(done, total))
        if self._stoppable:
            interrupt.check()

    def _left(self, done: int, total: int) -> str:
        """`, 3 min 05 s left`, by the pace since the first update; unless a note says it."""
        first, _, since = self._first
        if not first < done < total:
            return ""
        return f", {duration((total - done) * (time.monotonic() - since) / (done - first))} left"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, done: int, total: int, note: str) -> None:
        from tqdm import tqdm

        if self._bar is None or self._bar.total != total:
            self.close()
            self._bar = tqdm(
                total=total, initial=done, desc=f"  {self._label}", leave=False, dynamic_ncols=True
            )
        self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(done - self._bar.n)


def fold(text: str, indent: str = "  ") -> list[str]:
    """Untrusted text as lines of at most 80 columns, without control codes."""
    return textwrap.wrap(
        printable(text), 80, initial_indent=indent, subsequent_indent=indent + "  "
    )


def duration(seconds: float) -> str:
    """Seconds for people: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def moment(time: str) -> str:
    """UTC in ISO 8601 to the minute: 2026-11-26 17:03 UTC."""
    return f"{time[:10]} {time[11:16]} UTC"


def size(count: float) -> str:
    """Bytes for people: 812 B, 3.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
