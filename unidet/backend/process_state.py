"""What Jittor's import changes about the process, and what is put back after it."""

from __future__ import annotations

import ctypes
import os
import signal
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_SIGNALS = (  # that Jittor answers itself (src/utils/log.cc); SIGTERM: its compiling processes
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGBUS,
)
_SIGACTION_BYTES = 256  # more than `struct sigaction` has anywhere


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables, for the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def signals_kept() -> Iterator[Callable[[], None]]:
    """What answers signals; yields what puts it back before the block ends.

    Read with the C library's call: Python's knows nothing of handlers in C (faulthandler's).
    """
    libc = ctypes.CDLL(None)
    kept = {number: ctypes.create_string_buffer(_SIGACTION_BYTES) for number in _SIGNALS}
    for number, action in kept.items():
        libc.sigaction(int(number), None, action)

    def restore() -> None:
        for number, action in kept.items():
            libc.sigaction(int(number), action, None)

    try:
        yield restore
    finally:
        restore()


@contextmanager
def tls_kept() -> Iterator[None]:
    """How TLS certificates are verified."""
    create = ssl._create_default_https_context
    try:
        yield
    finally:
        ssl._create_default_https_context = create
