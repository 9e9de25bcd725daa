"""Stopping in an orderly way: SIGTERM, Ctrl-C, a closed terminal or the end of the process that
started this one ask, long work answers at its next safe point."""

from __future__ import annotations

import os
import signal
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

EXIT_CODE = 75  # EX_TEMPFAIL: run the same command again to go on

# SIGUSR1 is what `mpirun` hands on to its processes.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
_ONE_REQUEST = 1.0
"""Seconds. Signals that come so soon after the first are the same request: `timeout` and schedulers
signal a process and its group, a terminal that closes a job and the process that hands it on."""
_requested = threading.Event()
_first = 0.0  # when that was, by the monotonic clock
_leave: list[Callable[[], None]] = []  # what `at_once` was given, the innermost last


class Interrupted(Exception):
    """The run stopped on request; its state is saved and the same command resumes it."""

    advice = "the same command resumes"


class Stopped(Interrupted):
    """Work that saves nothing of what it has begun stopped on request."""

    advice = "run the same command again"


def listen() -> None:
    """Turn the first SIGTERM, SIGINT or SIGHUP into a request; one a second later stops at once."""
    for number in _SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, _ask)
    os.register_at_fork(after_in_child=_forget)


def stop_requested() -> bool:
    """Whether a stop was requested."""
    return _requested.is_set()


def check() -> None:
    """Raise Interrupted if a stop was requested; call where nothing would be lost."""
    if _requested.is_set():
        raise Interrupted("stopped on request")


@contextmanager
def at_once(leave: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Meanwhile the first request ends the work where it is, as KeyboardInterrupt: for work that
    has nothing to save, or waits for others.

    Args:
        leave: called before, in the signal's handler: ends a connection, so that nothing waits.
    """
    check()
    _leave.append(leave)
    try:
        yield
    finally:
        _leave.pop()


def stop_with_parent() -> None:
    """Stop this process when its standard input closes, which means that its parent has ended."""

    def watch() -> None:
        # os.read, not sys.stdin: a buffered read holds a lock that a forked child (one of Jittor's
        # compilers, closing its stdin) would wait for without end.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


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


def _leave_terminal() -> None:
    """Write nowhere from now on: on a terminal that is gone, the next word would be an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        if stat.S_ISCHR(os.fstat(descriptor).st_mode):  # isatty says no where it is gone already
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _forget() -> None:
    """A forked helper (Jittor's compilers) must die of the signal that its pool ends it with."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _ask(number: int, frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_terminal()
    global _first
    again, now = _requested.is_set(), time.monotonic()
    if again and now - _first < _ONE_REQUEST:
        return
    _first = _first if again else now
    _requested.set()
    if _leave:
        _leave[-1]()
    if again or _leave:
        raise KeyboardInterrupt
