"""An output folder that is written completely, or marked unfinished."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unidet.errors import UserError
from unidet.formats.labels.recognize import UNFINISHED, is_unfinished
from unidet.store.disk import entries, make_folder, remove, sync
from unidet.store.threads import pool_of

WORKERS = 8


@contextmanager
def new_folder(path: Path, names: Collection[str] = ()) -> Iterator[None]:
    """Around writing to a folder that is empty or not there; what fails leaves it as it was.

    What a killed process has left is removed first: the folder was empty when that one began.

    Args:
        names: of all that is written, where it is known; nothing else is ever removed.

    Raises:
        UserError: it is not empty, another process writes it, or it cannot be written.
    """
    was_there = path.is_dir()
    try:
        make_folder(path)
        with _marked(path, names):
            yield
    except BaseException as error:
        if not was_there:
            with suppress(OSError):
                path.rmdir()
        if isinstance(error, OSError):
            raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
        raise


def check_empty(path: Path, names: Collection[str] = ()) -> None:
    """Before long work: whether `new_folder` may write there.

    Raises:
        UserError: it holds what no killed process of ours has left.
    """
    others = {entry.name for entry in entries(path)} if path.exists() else set()
    if is_unfinished(path):
        others -= {UNFINISHED, *(names or others)}
    if others:
        raise UserError(f"{path}: is not empty; name a new folder")


@contextmanager
def _marked(path: Path, names: Collection[str]) -> Iterator[None]:
    """Meanwhile the folder says that it is unfinished, and holds what is written now alone."""
    descriptor = _lock(path, names)
    try:
        try:
            _empty(path)
            sync(path)
            yield
            _sync_below(path)  # before the mark goes: an empty file of labels says "no objects"
            (path / UNFINISHED).unlink()
            sync(path)
        except BaseException:
            _empty(path)
            (path / UNFINISHED).unlink(missing_ok=True)
            raise
    finally:
        os.close(descriptor)


def _lock(path: Path, names: Collection[str]) -> int:
    """A descriptor of the folder's mark, locked; a new mark only where nothing else lies."""
    marker = path / UNFINISHED
    try:
        descriptor = os.open(marker, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        if len(entries(path)) > 1:  # of one that has finished meanwhile, or the user's
            marker.unlink()
            os.close(descriptor)
            check_empty(path)
    except FileExistsError:
        check_empty(path, names)
        descriptor = os.open(marker, os.O_RDWR | os.O_NOFOLLOW)
    with suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(marker)):
            return descriptor
    os.close(descriptor)
    raise UserError(f"{path}: another process writes it; wait for its end")


def _sync_below(path: Path) -> None:
    """Flush all files and folders below a folder to the disk; links are not followed."""
    places, files = [], []
    for place, _, names in os.walk(path):
        places.append(Path(place))
        files += [Path(place, name) for name in names if not os.path.islink(Path(place, name))]
    with pool_of(WORKERS) as pool:
        list(pool.map(sync, files))
        list(pool.map(sync, places))


def _empty(path: Path) -> None:
    for entry in entries(path):
        if entry.name != UNFINISHED or (entry.is_dir() and not entry.is_symlink()):
            remove(entry)
