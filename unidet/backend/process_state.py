"""Saves and restores what Jittor's import changes in the process."""

from __future__ import annotations

import ctypes
import os
import signal
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

_SIGNALS = (  # handlers that Jittor's import may replace (src/utils/log.cc, compiling processes)
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGBUS,
)
_SIGACTION_BYTES = 256  # larger than `struct sigaction` on all platforms


@contextmanager
def variables_set(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables within the block."""
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
    """Restores signal handlers after the block; yields a function that restores them earlier.

    Uses the C library's sigaction, because Python's functions do not see handlers in C
    (faulthandler's).
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
    """Restores the verification of TLS certificates after the block."""
    create = ssl._create_default_https_context
    try:
        yield
    finally:
        ssl._create_default_https_context = create


@contextmanager
def recursion_limit_kept() -> Iterator[None]:
    """Restores the recursion limit: Jittor sets a million, with which endlessly nested input is
    refused only after a minute, or overflows the stack."""
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
