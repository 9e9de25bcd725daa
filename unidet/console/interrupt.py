"""Stopping in an orderly way: SIGTERM and Ctrl-C ask, long work answers at its next safe point."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EXIT_CODE = 75  # EX_TEMPFAIL: run the same command again to go on

# SIGUSR1 is what `mpirun` hands on to its processes.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_requested = threading.Event()


class Interrupted(Exception):
    """The run stopped on request; its state is saved and the same command resumes it."""


def listen() -> None:
    """Turn the first SIGTERM or SIGINT into a request; a second one stops at once."""
    for number in _SIGNALS:
        signal.signal(number, _ask)
    os.register_at_fork(after_in_child=_forget)


def stop_requested() -> bool:
    """Whether somebody asked this process to stop."""
    return _requested.is_set()


def check() -> None:
    """Raise Interrupted if somebody asked to stop: call where nothing would be lost."""
    if _requested.is_set():
        raise Interrupted("stopped on request")


@contextmanager
def stop_file(path: Path) -> Iterator[None]:
    """Meanwhile, a request to stop makes a file, for processes that a signal does not reach."""
    path.unlink(missing_ok=True)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.1):
            if stop_requested():
                path.touch()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _forget() -> None:
    """A forked helper (Jittor's compilers) must die of the signal that its pool ends it with."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _ask(number: int, frame: FrameType | None) -> None:
    if _requested.is_set():
        raise KeyboardInterrupt
    _requested.set()
