"""One advisory lock per key, so that two processes do not compute the same artefact.

The operating system releases the lock of a process that dies. If two processes hold it at once
(some network file systems allow that), the result is still correct, but is computed twice.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.store.disk import read_plain
from unidet.store.hashing import naming
from unidet.store.plain_json import parse_record
from unidet.store.provenance import utc

if TYPE_CHECKING:
    from filelock import BaseFileLock

POLL_SECONDS = 0.2
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Owner:
    """The process that holds a lock; `since` is UTC in ISO 8601."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        since = self.since[:19].replace("T", " ")
        return f"process {self.pid} on {self.host}, since {since} UTC"


def acquire(
    path: Path,
    waiting: Callable[[Owner | None], None] | None = None,
    check: Callable[[], None] | None = None,
) -> BaseFileLock:
    """Take the lock at `path`, waiting as long as necessary, and write the owner beside it.

    Args:
        waiting: called with the owner that this process waits for, once per owner (None: unknown).
        check: called between attempts; stops the waiting by raising.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    reported: list[Owner | None] = []
    timeout = 0.0
    while True:
        try:
            lock.acquire(timeout=timeout, poll_interval=POLL_SECONDS / 4)
            break
        except Timeout:
            timeout = POLL_SECONDS
            owner = read_owner(path)
            if waiting is not None and reported != [owner]:
                waiting(owner)
            reported = [owner]
            if check is not None:
                check()
    try:
        _sign(path)
    except BaseException as error:
        # Who holds it is only told to others; a clean-up of a full disk must not fail of that.
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            lock.release()
            raise
    return lock


def release(lock: BaseFileLock) -> None:
    """Remove the owner's file, then release the lock."""
    _signature(Path(lock.lock_file)).unlink(missing_ok=True)
    lock.release()


def holder(path: Path) -> Owner | None:
    """The current owner of the lock, None if it is free; changes nothing on the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        # A shared lock for a moment: a process that tries to take the lock meanwhile tries again.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read_owner(path)
    finally:
        os.close(descriptor)
    return None


def read_owner(path: Path) -> Owner | None:
    """The last owner of the lock, None if there was none."""
    try:
        return parse_record(Owner, read_plain(_signature(path)))
    except (FileNotFoundError, ValueError):
        return None


def _signature(path: Path) -> Path:
    return path.with_suffix(".owner")


def _sign(path: Path) -> None:
    owner = Owner(socket.gethostname(), os.getpid(), utc(time.time()))
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with naming(temporary):
            temporary.write_text(json.dumps(asdict(owner)))
        os.replace(temporary, _signature(path))
    finally:
        temporary.unlink(missing_ok=True)
