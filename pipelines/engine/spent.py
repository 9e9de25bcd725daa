"""Compute time of the interrupted attempts of a stage, kept in its working folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from unidet.store.disk import read_plain, replace, unreadable_is_damaged
from unidet.store.record import is_duration

SECONDS_FILE = ".seconds"


def earlier_seconds(work: Path) -> float:
    """Compute time of the attempts that left their work here; a killed process adds none."""
    try:
        with unreadable_is_damaged():
            seconds = float(read_plain(work / SECONDS_FILE))
    except (FileNotFoundError, ValueError):
        return 0.0
    return seconds if is_duration(seconds) else 0.0


def remember_seconds(work: Path, seconds: float) -> None:
    """Write it for the next attempt."""
    # The stage is failing already: a full disk must not hide the reason.
    with suppress(OSError):
        replace(work / SECONDS_FILE, f"{seconds:.3f}".encode(), work / f"{SECONDS_FILE}.draft")
