"""File-system operations that are safe against crashes, with error messages for users."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from unidet.errors import UserError, in_the_way
from unidet.store.hashing import naming, sha256_bytes
from unidet.store.walking import unopened

MOST_BYTES = 256 << 20  # of a record, a declaration or a pin: what is larger is none
_MOST_CACHE_BYTES = 2 << 30  # one names all files of a data set: ten million
_REASONS = {
    errno.EROFS: "is read-only; choose another with store.root=FOLDER",
    errno.EACCES: "is not readable or not writable for this user; choose another with "
    "store.root=FOLDER",
    errno.EPERM: "is not writable for this user, or its file system has no hard links; "
    "choose another with store.root=FOLDER",
    errno.ENOTSUP: "is on a file system without hard links or locks; choose another with "
    "store.root=FOLDER",
    errno.ENOTDIR: "has a file where a folder belongs; move it elsewhere",
    errno.EISDIR: "has a folder where a file belongs; move it elsewhere",
    errno.ENOSPC: "is on a full disk; free some space and run the same command again",
    errno.EDQUOT: "has used up its disk quota; free some space and run the same command again",
}


@contextmanager
def clear_errors(root: Path) -> Iterator[None]:
    """Turn disk errors into a UserError of one line.

    Raises:
        UserError: the store is read-only, not permitted, full or broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # raised by Python code, not by the disk
            raise
        reason = _REASONS.get(error.errno, f"cannot be used: {error.strerror}")
        where = error.filename or error.strerror
        if error.errno == errno.ENOTDIR and error.filename:
            where = in_the_way(error.filename)
        raise UserError(f"store {root} {reason} ({where})") from error


def read_plain(path: Path, most: int = MOST_BYTES) -> bytes:
    """Content of a plain file, without blocking on pipes or endless devices.

    It is read into memory whole.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a link, folder, device or pipe, or has more than `most` bytes.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise ValueError("a link or a socket, not a plain file") from error
        raise
    try:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("a folder, a device or a pipe, not a plain file")
        if state.st_size > most:
            raise ValueError(f"{state.st_size} bytes, more than the {most} that it may have")
        with naming(path), os.fdopen(descriptor, "rb", closefd=False) as stream:
            return stream.read()
    finally:
        os.close(descriptor)


@contextmanager
def unreadable_is_damaged() -> Iterator[None]:
    """While something is read that can be made again: what the disk gives no more is damaged.

    Raises:
        ValueError: in place of a fault of the disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise ValueError("the disk cannot read it") from error


def sync(path: Path | str) -> None:
    """Flush the content of a file, or the entries of a folder, to the disk (fsync)."""
    with naming(path), _opened(path) as descriptor:
        _flush(descriptor)


def _flush(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network shares and shared folders of virtual machines know no fsync of a folder.
        if error.errno != errno.EINVAL or not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise


@contextmanager
def _opened(path: Path | str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its parents durably."""
    missing = list(takewhile(lambda place: not place.is_dir(), (path, *path.parents)))
    for place in reversed(missing):
        try:
            os.mkdir(place)
        except FileExistsError:
            if not place.is_dir():  # else another process has just made it
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(place)) from None
        sync(place.parent)


def discard(path: Path, trash: Path) -> None:
    """Remove a file or folder: move it to `trash` atomically, then delete it there."""
    make_folder(trash)
    bin_path = trash / f"{path.name}.{secrets.token_hex(4)}"
    try:
        os.rename(path, bin_path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        bin_path = path
    # A concurrent clean-up may delete it from the trash at the same time.
    with suppress(FileNotFoundError):
        remove(bin_path)


def remove(path: Path) -> None:
    """Remove a folder with its content, or a file, link or pipe, if there is one."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    folders = [path]
    while folders:
        folder = folders.pop()
        for deep in list(unopened(folder)):  # `rmtree` gives up where they nest too deeply
            folders.append(path.with_name(f"{path.name}.{secrets.token_hex(4)}"))
            os.rename(deep, folders[-1])
        shutil.rmtree(folder)


def set_aside(path: Path, trash: Path) -> Path:
    """Move a faulty file to the trash, where it stays until a clean-up; returns where it is."""
    make_folder(trash)
    target = trash / f"{path.name}.{secrets.token_hex(4)}"
    os.rename(path, target)
    touch(target)
    sync(path.parent)
    return target


def touch(path: Path) -> None:
    """Set the modification time to now, where permitted."""
    with suppress(PermissionError), naming(path):
        os.utime(path, follow_symlinks=False)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file durably."""
    with naming(path), open(path, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def create_once(path: Path, data: bytes, temporary: Path) -> bool:
    """Create a complete file at `path` atomically, unless it exists; returns whether it did so.

    `temporary` is an unused path on the same file system.
    """
    make_folder(path.parent)
    try:
        write_synced(temporary, data)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)
    return True


def replace(path: Path, data: bytes, temporary: Path) -> None:
    """Write a complete file to `path` atomically, replacing an existing file."""
    make_folder(path.parent)
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def read_sealed(path: Path) -> bytes | None:
    """Content of a file written by `write_sealed`; None where it is missing or damaged."""
    try:
        seal, _, data = read_plain(path, _MOST_CACHE_BYTES).partition(b"\n")
    except (OSError, ValueError):
        return None
    return data if seal == sha256_bytes(data).encode() else None


def write_sealed(path: Path, data: bytes) -> None:
    """Write a cache with its checksum; errors are ignored, as the next run can compute it again.

    A cache need not be durable, so this does not wait for the disk. Where a link leads, files of
    others may have its name.
    """
    if path.parent.is_symlink():
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with suppress(OSError):
        make_folder(path.parent)
        try:
            temporary.write_bytes(sha256_bytes(data).encode() + b"\n" + data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def entries(folder: Path) -> list[Path]:
    """Entries of a folder, sorted by name; empty if it does not exist.

    `Path.glob` would silently skip folders that this user may not list.

    Raises:
        OSError: the folder cannot be listed.
    """
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except FileNotFoundError:
        return []


# --- output files outside the store -------------------------------------------------------------


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that is moved to `path` at the end; on failure `path` is unchanged.

    The temporary path has the suffix of `path`. A device or a pipe is written to directly.

    Raises:
        UserError: the file cannot be written, or the disk does not confirm that it is durable.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    special = path.exists() and not path.is_file()
    # A prefix before the whole name could exceed the longest allowed file name.
    partial = path if special else place.with_name(f".{secrets.token_hex(8)}{place.suffix}")
    fault = "cannot be written"
    try:
        yield partial
        if not special:
            sync(partial)
            with _opened(place.parent) as folder:  # before the old file is gone
                partial.replace(place)
                fault = "is written, but the disk may lose it again"
                _flush(folder)
    except OSError as error:
        raise UserError(f"{path}: {fault} ({error.strerror or error})") from error
    finally:
        if not special:
            with suppress(OSError):
                partial.unlink()


def check_target(
    path: Path, suffixes: Sequence[str] = (), *, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Check, before long work, that `whole_file` can write `path` and its suffix is allowed.

    Args:
        inputs: files that are read; None and missing files are ignored.

    Raises:
        UserError: the suffix is wrong, `path` is a folder or one of the inputs (under any name), or
            its folder is missing or not writable.
    """
    if suffixes and path.suffix not in suffixes:
        raise UserError(f"{path}: the name must end in {', '.join(suffixes)}")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not path.is_file():
        return  # a device or a pipe
    for read in inputs:
        if read and path.exists() and os.path.exists(read) and path.samefile(read):
            raise UserError(f"{path}: is {read} itself, which is read; give another name")
    if not path.parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        raise UserError(
            f"{path}: no permission to list and write {path.parent}; choose another place"
        )


def check_folder(path: Path) -> None:
    """Check, before long work, that `path` is a writable folder or can be created.

    Raises:
        UserError: part of the path is a file, or the folder is not writable.
    """
    there = nearest_folder(path)
    if not os.access(there, os.W_OK):
        raise UserError(f"{path}: no permission to write in {there}; choose another place")


def nearest_folder(path: Path) -> Path:
    """`path`, or its nearest existing parent folder.

    Raises:
        UserError: part of the path is a file.
    """
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        what = path if there == path else f"{path}: {there}"
        raise UserError(f"{what} is not a folder; choose another place")
    return there
