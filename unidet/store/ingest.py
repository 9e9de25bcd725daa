"""Takes the files of a finished artefact into the blobs, durably, linking rather than copying."""

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

from unidet.store.disk import make_folder, sync, touch, unless_gone
from unidet.store.hashing import copy_hashed, sha256_file
from unidet.store.paths import Layout
from unidet.store.record import StoredFile, check_name

WORKERS = 8
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)  # nor where what leads there is no folder


@contextmanager
def ingested(out: Path, layout: Layout, key: str) -> Iterator[dict[str, StoredFile]]:
    """Every file below `out` is a blob, durably; create the record that needs them in the block.

    A file with other hard links, or on another file system, is copied: nobody else's file may turn
    into a blob. A failure at any point leaves whole blobs or none.

    A clean-up beside may take away a blob that no record names yet. It looks at the records again
    after that, and this side looks at the blobs again after the record is there: whichever comes
    second brings the blob back.

    Yields:
        relative path -> blob.

    Raises:
        ValueError: links, devices or odd names in `out`.
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
    """Link files of this process alone into the blobs; on return the names are on the disk."""
    folders = {layout.blob(file.sha256).parent for file in sources.values()}
    _make_groups(folders, layout)
    for source, file in sources.items():
        _place(source, file, layout)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(sync, sorted(folders)))


def place_missing(sources: dict[Path, StoredFile], layout: Layout) -> None:
    """Bring back what was taken away since `place_all`; call it once a record names the blobs."""
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
        ValueError: something that is neither a regular file nor a folder, or a name not allowed.
    """
    found = []
    for folder, _, names in os.walk(out, onerror=unless_gone):
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
    # Libraries write files for their user alone; whoever may read the folder may read them too.
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
    """The folders of these blobs, durably, with one wait for all that are new."""
    make_folder(layout.blobs)
    new = [folder for folder in folders if not folder.is_dir()]
    for folder in new:
        with suppress(FileExistsError):
            os.mkdir(folder)
    if new:
        sync(layout.blobs)


def _place(source: Path, file: StoredFile, layout: Layout) -> None:
    """Let `source` be the blob too unless that is there; its folder is there and needs a sync."""
    blob = layout.blob(file.sha256)
    if not has_blob(blob, file.size):
        os.utime(source)
        _link(source, blob, file.size)
    else:
        # A fresh time tells a clean-up running beside that this blob is about to be needed.
        with suppress(FileNotFoundError):
            touch(blob)


def _link(source: Path, blob: Path, size: int) -> None:
    try:
        os.link(source, blob)
    except FileExistsError:
        if not has_blob(blob, size):
            # Something else lies there under this name; a second name for it is put over it.
            whole = source.with_name(f".{source.name}.{secrets.token_hex(4)}")
            os.link(source, whole)
            os.replace(whole, blob)


def second_name(dropped: Path, place: Path) -> None:
    """Let what is in the trash appear in its place too, unless something is there.

    Another user's file may have no second name (Linux: fs.protected_hardlinks); that one moves.

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
    """Give content that is in the trash its place again; whether it is there now.

    A clean-up beside takes content away before it looks whether a new record names it.
    """
    blob = layout.blob(file.sha256)
    # Not in the trash, in its place already, or a store that may only be read: the answer tells.
    with suppress(OSError):
        second_name(layout.dropped_blobs / file.sha256, blob)
    return has_blob(blob, file.size)


def has_blob(blob: Path, size: int) -> bool:
    """Whether a blob is there with the size that its record gives."""
    try:
        state = os.lstat(blob)
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == size
