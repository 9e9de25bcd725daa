"""Moves the files of a finished artefact to the blobs, durably, by hard links where possible."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from unidet.store.disk import make_folder, set_aside, sync, touch
from unidet.store.hashing import copy_hashed, sha256_file
from unidet.store.paths import Layout
from unidet.store.record import StoredFile, check_name, check_names
from unidet.store.walking import ignore_missing

WORKERS = 8
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@contextmanager
def ingested(out: Path, layout: Layout, key: str) -> Iterator[dict[str, StoredFile]]:
    """Make all files below `out` blobs, durably; create the record that names them in the block.

    Files with other hard links or on another file system are copied, because a blob must not be
    somebody else's file. A failure at any point leaves complete blobs or none.

    A concurrent clean-up may remove a blob that no record names yet. It checks the records again
    after that, and this function checks the blobs again after the record exists, so that one of the
    two restores the blob.

    Yields:
        relative path -> blob.

    Raises:
        ValueError: `out` contains links, devices or names that are not allowed.
    """
    scratch = layout.private(key)
    try:
        make_folder(scratch)
        with ThreadPoolExecutor(WORKERS) as pool:
            sources = _own(list_files(out), out, scratch, pool)
            synced = pool.map(sync, sources.values())
            hashes = list(pool.map(sha256_file, sources.values()))
            list(synced)
        files = {
            name: StoredFile(sha256, os.stat(source).st_size)
            for (name, source), sha256 in zip(sources.items(), hashes, strict=True)
        }
        place_all({sources[name]: file for name, file in files.items()}, layout)
        yield files
        place_missing({sources[name]: file for name, file in files.items()}, layout)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def place_all(sources: dict[Path, StoredFile], layout: Layout) -> None:
    """Link files that only this process uses to their blobs, durably."""
    folders = {layout.blob(file.sha256).parent for file in sources.values()}
    _make_groups(folders, layout)
    for source, file in sources.items():
        _place(source, file, layout)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(sync, sorted(folders)))


def place_missing(sources: dict[Path, StoredFile], layout: Layout) -> None:
    """Restore blobs removed since `place_all`; call it once a record names them."""
    gone = {
        source: file
        for source, file in sources.items()
        if not has_blob(layout.blob(file.sha256), file.size)
    }
    if gone:
        place_all(gone, layout)


def list_files(out: Path) -> list[str]:
    """Relative paths of the regular files below `out`, sorted.

    Raises:
        ValueError: an entry is neither a regular file nor a folder, or its name is not allowed.
    """
    found = []
    for folder, _, names in os.walk(out, onerror=ignore_missing):
        for name in names:
            path = Path(folder, name)
            relative = check_name(path.relative_to(out).as_posix())
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise ValueError(f"{path} is not a regular file and cannot be part of an artefact")
            found.append(relative)
    check_names(found)
    return sorted(found)


def _own(names: list[str], out: Path, scratch: Path, pool: ThreadPoolExecutor) -> dict[str, Path]:
    """Make the files read-only and private to this process, on the store's file system."""
    device = os.stat(scratch).st_dev
    # Some libraries write files that only their user may read; give them the folder's permissions.
    readers = os.stat(out).st_mode & 0o444

    def own(number: int, name: str) -> Path:
        path = out / name
        state = os.lstat(path)
        if state.st_nlink > 1 or state.st_dev != device:
            copy = scratch / str(number)
            copy_hashed(path, copy)
            path = copy
        os.chmod(path, (stat.S_IMODE(state.st_mode) | readers) & ~0o222)
        return path

    return dict(zip(names, pool.map(own, range(len(names)), names), strict=True))


def _make_groups(folders: set[Path], layout: Layout) -> None:
    """Create the folders of these blobs durably, with one sync for all new ones."""
    make_folder(layout.blobs)
    new = [folder for folder in folders if not folder.is_dir()]
    for folder in new:
        with suppress(FileExistsError):
            os.mkdir(folder)
    if new:
        sync(layout.blobs)


def _place(source: Path, file: StoredFile, layout: Layout) -> None:
    """Link `source` to its blob unless it exists. The blob's folder exists; sync it afterwards."""
    blob = layout.blob(file.sha256)
    if not has_blob(blob, file.size):
        os.utime(source)
        if blob.is_dir() and not blob.is_symlink():
            set_aside(blob, layout.trash)
        _link(source, blob, file.size)
    else:
        # A new time tells a concurrent clean-up that this blob is about to be needed.
        with suppress(FileNotFoundError):
            touch(blob)


def _link(source: Path, blob: Path, size: int) -> None:
    try:
        os.link(source, blob)
    except FileExistsError:
        if not has_blob(blob, size):
            # A damaged file has this name; replace it by a link to `source`.
            whole = source.with_name(f".{source.name}.{secrets.token_hex(4)}")
            os.link(source, whole)
            os.replace(whole, blob)


def link_back(dropped: Path, place: Path) -> None:
    """Link a file in the trash back to its place, unless that exists.

    Linux may forbid hard links to another user's file (fs.protected_hardlinks); then it is moved.

    Raises:
        FileExistsError, FileNotFoundError: as `os.link`.
    """
    try:
        os.link(dropped, place)
    except PermissionError:
        if os.path.lexists(place):
            raise FileExistsError(place) from None
        os.rename(dropped, place)


def rescue(file: StoredFile, layout: Layout) -> bool:
    """Restore content from the trash if it is there; returns whether the blob exists now.

    A concurrent clean-up removes content before it checks whether a new record names it.
    """
    blob = layout.blob(file.sha256)
    # Errors (not in the trash, already restored, read-only store) show in the return value.
    with suppress(OSError):
        link_back(layout.dropped_blobs / file.sha256, blob)
    return has_blob(blob, file.size)


def has_blob(blob: Path, size: int) -> bool:
    """Whether a blob exists with this size."""
    try:
        state = os.lstat(blob)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == size
