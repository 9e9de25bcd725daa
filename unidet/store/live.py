"""Keys that running processes use, so that a concurrent clean-up keeps them.

Each process that works with artefacts keeps a file of keys, with a lock on it. When a process dies,
the operating system releases its lock, and its file is ignored. Private folders of a process are
removed when it is dead: no process with its pid runs here, and nobody holds a lock on its file
(processes in containers may share a host name without seeing each other's pids).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unidet.errors import UserError
from unidet.store.disk import clear_errors, discard, entries, make_folder
from unidet.store.hashing import naming, write_all
from unidet.store.paths import Layout

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)
JUST_MADE_SECONDS = 3600.0
Use = Callable[..., None]
_MARK = re.compile(r".+-\d+-[0-9a-f]{8}\.live")  # as Layout.live names them; others are a user's


@contextmanager
def in_use(layout: Layout) -> Iterator[Use]:
    """Yield a function that marks keys as used until the block ends; call it before a lookup.

    In a read-only store nothing is marked, since no clean-up can run there.

    Raises:
        UserError: the disk is full.
    """
    try:
        with clear_errors(layout.root):
            path, descriptor = _create(layout)
    except UserError as error:
        if getattr(error.__cause__, "errno", None) not in _NOT_WRITABLE:
            raise
        yield lambda *keys: None
        return

    def use(*keys: str) -> None:
        with clear_errors(layout.root), naming(path):
            write_all(descriptor, "".join(f"{key}\n" for key in keys).encode())

    try:
        yield use
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
        os.close(descriptor)


def _create(layout: Layout) -> tuple[Path, int]:
    """Create a file that this process has locked.

    Another process may remove the file as that of a dead process before it is locked, if its clock
    differs; then a new file is created.
    """
    make_folder(layout.runs)
    while True:
        path = layout.live()
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        with naming(path):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):
            return path, descriptor
        os.close(descriptor)


def used(folder: Path) -> set[str]:
    """Keys that running processes have marked; files of dead processes are removed."""
    found: set[str] = set()
    for path in entries(folder):
        if _MARK.fullmatch(path.name):
            found |= _read(path) or set()
    return found


def _read(path: Path) -> set[str] | None:
    """Keys that a running process has marked; None if the process is dead."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return None
        raise
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            return None
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        marked = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        return set(marked.decode(errors="replace").split())
    else:
        # The owner is dead, or has just created the file and has not locked it yet.
        if state.st_size or state.st_mtime < time.time() - JUST_MADE_SECONDS:
            path.unlink(missing_ok=True)
        return None
    finally:
        os.close(descriptor)


# --- folders of dead processes -----------------------------------------------------------------

_PRIVATE = re.compile(r"(?P<key>[0-9a-f]{64})\.(?P<process>(?P<host>.+)-(?P<pid>\d+))-[0-9a-f]{8}")


def discard_abandoned(layout: Layout, key: str | None = None) -> None:
    """Remove private folders (of `key`, or all) of dead processes of this host."""
    with suppress(FileNotFoundError):
        for name in os.listdir(layout.base / "work"):
            match = _PRIVATE.fullmatch(name)
            if match and key in (None, match["key"]) and _is_dead(layout, match):
                discard(layout.base / "work" / name, layout.trash)


def _is_dead(layout: Layout, owner: re.Match[str]) -> bool:
    if owner["host"] != socket.gethostname() or _runs(int(owner["pid"])):
        return False
    files = (path for path in entries(layout.runs) if _MARK.fullmatch(path.name))
    own = (path for path in files if path.name.startswith(f"{owner['process']}-"))
    return all(_read(path) is None for path in own)


def _runs(pid: int) -> bool:
    """Whether a process with this pid runs here, of any user."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
