"""File-system operations that survive a crash, with errors that users can act on."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from unidet.errors import UserError
from unidet.store.hashing import sha256_bytes

_REASONS = {
    errno.EROFS: "is read-only; choose another with store.root=FOLDER",
    errno.EACCES: "may not be written by this user; choose another with store.root=FOLDER",
    errno.EPERM: "may not be written by this user, or its file system has no hard links; "
    "choose another with store.root=FOLDER",
    errno.ENOTSUP: "is on a file system without hard links; choose another with store.root=FOLDER",
    errno.ENOSPC: "is on a full disk; free some space and run the same command again",
    errno.EDQUOT: "has used up its disk quota; free some space and run the same command again",
}


@contextmanager
def clear_errors(root: Path) -> Iterator[None]:
    """Turn disk errors into one clear line.

    Raises:
        UserError: read-only, not permitted, full, broken.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not the disk's: raised by Python code
            raise
        reason = _REASONS.get(error.errno, f"cannot be used: {error.strerror}")
        raise UserError(f"store {root} {reason} ({error.filename or error.strerror})") from error


def read_plain(path: Path, most: int | None = None) -> bytes:
    """Content of a plain file; waits for no other process and reads nothing that has no end.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a link, a folder, a device, a pipe, or more than `most` bytes.
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
        if most is not None and state.st_size > most:
            raise ValueError(f"{state.st_size} bytes, more than the {most} that it may have")
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
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
    """Return when a file's bytes, or a folder's names, are on the disk."""
    with _opened(path) as descriptor:
        os.fsync(descriptor)


@contextmanager
def _opened(path: Path | str) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create a folder and its parents so that they are there after a crash."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with suppress(FileExistsError):
        os.mkdir(path)
    sync(path.parent)


def discard(path: Path, trash: Path) -> None:
    """Remove a file or folder: it leaves its place in one step, its content goes after that."""
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
    # A clean-up beside may empty the trash of this at the same time.
    with suppress(FileNotFoundError):
        remove(bin_path)


def remove(path: Path) -> None:
    """Remove what lies there, if anything: a folder with all in it, or a file, a link, a pipe."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def set_aside(path: Path, trash: Path) -> None:
    """Move a faulty file into the trash, where it stays until a clean-up."""
    make_folder(trash)
    target = trash / f"{path.name}.{secrets.token_hex(4)}"
    os.rename(path, target)
    touch(target)
    sync(path.parent)


def touch(path: Path) -> None:
    """Give it the time of now; another user's file may keep its own."""
    with suppress(PermissionError):
        os.utime(path, follow_symlinks=False)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until it is on the disk."""
    with open(path, "xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def create_once(path: Path, data: bytes, temporary: Path) -> bool:
    """Let a complete file appear at `path` unless one is there; whether it was this one.

    `temporary` is a path on the same file system that nobody else uses.
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
    """Put a complete file at `path`, whatever is there."""
    make_folder(path.parent)
    try:
        write_synced(temporary, data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def read_sealed(path: Path) -> bytes | None:
    """Content of a file written by `write_sealed`; None where it is absent, short or altered."""
    try:
        seal, _, data = read_plain(path).partition(b"\n")
    except (OSError, ValueError):
        return None
    return data if seal == sha256_bytes(data).encode() else None


def write_sealed(path: Path, data: bytes) -> None:
    """Keep derived data with its checksum; where that cannot be written, the next run computes it.

    A cache owes nobody durability, so nothing waits for the disk here.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(sha256_bytes(data).encode() + b"\n" + data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def entries(folder: Path) -> list[Path]:
    """The entries of a folder, by name; empty if it does not exist.

    `Path.glob` passes over what this user may not list, as if nothing lay there.

    Raises:
        OSError: it cannot be listed.
    """
    try:
        return [folder / name for name in sorted(os.listdir(folder))]
    except FileNotFoundError:
        return []


def unless_gone(error: OSError) -> None:
    """Of a folder that is walked through: somebody else may take it away meanwhile.

    Raises:
        OSError: it is there and cannot be listed.
    """
    if not isinstance(error, FileNotFoundError):
        raise error


def files_below(folder: Path, unlisted: Callable[[OSError], None] = unless_gone) -> Iterator[Path]:
    """Files and links; `unlisted` is told of folders that cannot be gone through."""
    for place, folders, names in os.walk(folder, onerror=unlisted):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in (*names, *links))


# --- files for people, anywhere -----------------------------------------------------------------


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, moved to `path` at the end; what fails leaves `path` as it was.

    The path has the suffix of `path`. A device or a pipe is written to as it is.

    Raises:
        UserError: it cannot be written, or is there and the disk does not confirm its name.
    """
    place = Path(os.path.realpath(path))  # a link stays a link
    special = path.exists() and not path.is_file()
    # not longer than the name itself may be, which may take all that there is
    partial = path if special else place.with_name(f".{secrets.token_hex(8)}{place.suffix}")
    fault = "cannot be written"
    try:
        yield partial
        if not special:
            sync(partial)
            with _opened(place.parent) as folder:  # before the old file is gone
                partial.replace(place)
                fault = "is written, but the disk may lose it again"
                os.fsync(folder)
    except OSError as error:
        raise UserError(f"{path}: {fault} ({error.strerror or error})") from error
    finally:
        if not special:
            with suppress(OSError):
                partial.unlink()


def check_target(
    path: Path, suffixes: Sequence[str] = (), *, inputs: Iterable[str | Path | None] = ()
) -> None:
    """Before long work: whether `whole_file` can write there, under a name with such an ending.

    Args:
        inputs: what is read; None and what is not there are passed over.

    Raises:
        UserError: another ending, a folder, one of the inputs under any name, or a place that is
            not there or not writable.
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
            f"{path}: this user may not list and write {path.parent}; choose another place"
        )


def check_folder(path: Path) -> None:
    """Before long work: whether `path` is, or can be made, a folder to write to.

    Raises:
        UserError: a file stands in the way, or it is not writable.
    """
    there = nearest_folder(path)
    if not os.access(there, os.W_OK):
        raise UserError(f"{path}: this user may not write in {there}; choose another place")


def nearest_folder(path: Path) -> Path:
    """`path`, or the last folder on the way to it that is there.

    Raises:
        UserError: a file stands in the way.
    """
    there = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        what = path if there == path else f"{path}: {there}"
        raise UserError(f"{what} is not a folder; choose another place")
    return there
