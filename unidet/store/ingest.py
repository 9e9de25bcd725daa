"""Takes the files of a finished artefact into the blobs, durably, moving rather than copying."""

from __future__ import annotations

import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from unidet.store.disk import make_folder, sync
from unidet.store.hashing import copy_hashed, sha256_file
from unidet.store.layout import Layout
from unidet.store.record import StoredFile, check_name

WORKERS = 8


def ingest(out: Path, layout: Layout, key: str) -> dict[str, StoredFile]:
    """Move every file below `out` to its blob; on return bytes and names are on the disk.

    A file with other hard links, or on another file system, is copied: nobody else's file may turn
    into a blob. A failure at any point leaves whole blobs or none.

    Returns:
        relative path -> blob.

    Raises:
        ValueError: links, devices or odd names in `out`.
    """
    scratch = layout.private(key)
    make_folder(scratch)
    try:
        return _ingest(list_files(out), out, scratch, layout)
    finally:
        shutil.rmtree(scratch)


def _ingest(names: list[str], out: Path, scratch: Path, layout: Layout) -> dict[str, StoredFile]:
    with ThreadPoolExecutor(WORKERS) as pool:
        sources = _own(names, out, scratch, pool)
        synced = pool.map(sync, sources.values())
        hashes = list(pool.map(sha256_file, sources.values()))
        list(synced)
        files = {
            name: StoredFile(sha256, os.stat(source).st_size)
            for (name, source), sha256 in zip(sources.items(), hashes, strict=True)
        }
        folders = {_place(sources[name], file, layout) for name, file in files.items()}
        list(pool.map(sync, sorted(folders)))
    return files


def list_files(out: Path) -> list[str]:
    """Relative paths of the regular files below `out`, sorted.

    Raises:
        ValueError: something that is neither a regular file nor a folder, or a name not allowed.
    """
    found = []
    for folder, _, names in os.walk(out):
        for name in names:
            path = Path(folder, name)
            relative = check_name(path.relative_to(out).as_posix())
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise ValueError(f"{path} is not a regular file and cannot be part of an artefact")
            found.append(relative)
    return sorted(found)


def _own(names: list[str], out: Path, scratch: Path, pool: ThreadPoolExecutor) -> dict[str, Path]:
    """Read-only files that belong to this process alone, on the file system of the store."""
    device = os.stat(scratch).st_dev

    def own(number: int, name: str) -> Path:
        path = out / name
        state = os.lstat(path)
        if state.st_nlink > 1 or state.st_dev != device:
            copy = scratch / str(number)
            copy_hashed(path, copy)
            path = copy
        os.chmod(path, stat.S_IMODE(state.st_mode) & ~0o222)
        return path

    return dict(zip(names, pool.map(own, range(len(names)), names), strict=True))


def _place(source: Path, file: StoredFile, layout: Layout) -> Path:
    """Make `source` the blob unless that is there; the folder whose names must reach the disk."""
    blob = layout.blob(file.sha256)
    make_folder(blob.parent)
    if has_blob(blob, file.size):
        # A fresh time tells a clean-up running beside that this blob is about to be needed.
        with suppress(PermissionError):
            os.utime(blob)
    else:
        os.utime(source)
        os.replace(source, blob)
    return blob.parent


def has_blob(blob: Path, size: int) -> bool:
    """Whether a blob is there with the size that its record gives."""
    try:
        state = os.lstat(blob)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == size
