"""Keys that living processes use, for a clean-up running beside them.

Every process that works with artefacts keeps a file of keys and a lock on it. The operating system
drops the lock of a process that dies, and then the file says nothing any more.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unidet.errors import UserError
from unidet.store.disk import clear_errors, make_folder
from unidet.store.paths import Layout

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
JUST_MADE_SECONDS = 3600.0
Use = Callable[..., None]


@contextmanager
def in_use(layout: Layout) -> Iterator[Use]:
    """A function that marks keys as used until the block ends; call it before looking them up.

    Nothing is marked in a store that may only be read: nobody cleans up there.

    Raises:
        UserError: the disk is full.
    """
    path = layout.live()
    try:
        with clear_errors(layout.root):
            descriptor = _create(path)
    except UserError as error:
        if getattr(error.__cause__, "errno", None) not in _NOT_WRITABLE:
            raise
        yield lambda *keys: None
        return

    def use(*keys: str) -> None:
        with clear_errors(layout.root):
            os.write(descriptor, "".join(f"{key}\n" for key in keys).encode())

    try:
        yield use
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _create(path: Path) -> int:
    make_folder(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def used(folder: Path) -> set[str]:
    """Keys that living processes have marked; files of the dead are removed."""
    found: set[str] = set()
    for path in folder.glob("*.live"):
        found |= _read(path)
    return found


def _read(path: Path) -> set[str]:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return set()
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return set(os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode().split())
    else:
        # Its owner is dead; or it has just made the file and marks keys once it has the lock.
        state = os.fstat(descriptor)
        if state.st_size or state.st_mtime < time.time() - JUST_MADE_SECONDS:
            path.unlink(missing_ok=True)
        return set()
    finally:
        os.close(descriptor)
