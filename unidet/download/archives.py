"""Unpacks zip and tar archives: only into the folder, without overwriting, all files or none."""

from __future__ import annotations

import lzma
import os
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import IO

from unidet.download.fetch import disk_errors
from unidet.errors import UserError
from unidet.store.hashing import BUFFER_BYTES, write_all

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    OSError,  # of gzip and bzip2; errors of the disk have an errno
    ValueError,  # names with an invalid encoding
    LookupError,
    struct.error,
    NotImplementedError,  # a compression method that zipfile does not support
    RecursionError,  # of tarfile, where one header announces the next a thousand times
)
_ENCRYPTED = 1  # bit of a zip member's flags
_ZIP_END_BYTES = 22 + 0xFFFF  # of a zip archive's end, which a comment follows
_LONG_HEADERS = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_HEADER_BYTES = 1 << 20  # of long names and the like, which tarfile reads whole

Wants = Callable[[str], bool]
"""Whether to unpack a file, by its path in the archive."""


def unpack(
    archive: Path, into: Path, wants: Wants, progress: Callable[[int], None] = lambda count: None
) -> int:
    """Unpacks files into a folder and returns their number. Existing files are kept.

    The files are written to `staging` first, on the folder's own disk, and moved when all are
    complete, so that an error leaves the folder unchanged.

    Args:
        wants: selects the files to unpack.
        progress: called after each file with the number of files so far.

    Raises:
        UserError: the file is no archive, is damaged or truncated, contains a path outside the
            folder, a link, a device or an encrypted file, or the disk is full.
    """
    place = staging(archive, into)
    # A killed process has perhaps moved only some files. `place` shows that until all are moved.
    is_begun = place.exists()
    with disk_errors(into):
        place.mkdir(parents=True, exist_ok=True)
        _clear(place)
    try:
        count = 0
        with _damage_named(archive):
            for name, content in _members(archive, wants, place):
                _write(content, place / name)
                count += 1
                progress(count)
    except BaseException:
        _clear(place)
        if not is_begun:
            with suppress(OSError):  # the folder was not empty
                place.rmdir()
                into.rmdir()
        raise
    os.sync()  # the caller deletes the archive next, so its content must be on the disk
    with disk_errors(into):  # from here on `place` shows that not all files are moved yet
        _move(place, into)
    return count


def staging(archive: Path, into: Path) -> Path:
    """The folder for unpacked files until they are moved."""
    return into / f".{archive.name}.unpacked"


def _clear(folder: Path) -> None:
    """Remove a folder's content, as far as that is permitted."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with suppress(OSError):
                entry.unlink()


def is_archive(name: str) -> bool:
    """Whether `unpack` supports the format, by the file's name."""
    return name.endswith(ENDINGS)


def _members(archive: Path, wants: Wants, place: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Path and content of each wanted file; `place` is the folder they will be written to."""
    if archive.name.endswith(".zip"):
        yield from _zip_members(archive, wants, place)
    else:
        yield from _tar_members(archive, wants, place)


def _zip_members(archive: Path, wants: Wants, place: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as file:
        _require_all_members(archive, file)
        members = [member for member in file.infolist() if not member.is_dir()]
        for member in members:
            _require_inside(archive, member.filename)
            if stat.S_ISLNK(member.external_attr >> 16) or member.flag_bits & _ENCRYPTED:
                raise UserError(f"{archive}: {member.filename} is a link or encrypted: refused")
        wanted = [member for member in members if wants(_plain(member.filename))]
        _require_room(archive, place, sum(member.file_size for member in wanted))
        for member in wanted:
            with file.open(member) as content:
                yield _plain(member.filename), content


def _require_all_members(archive: Path, file: zipfile.ZipFile) -> None:
    """BadZipFile where there are none, or not as many as the archive's end says: zipfile takes a
    list that ends too early for a shorter one.
    """
    with archive.open("rb") as stream:
        stream.seek(max(0, archive.stat().st_size - _ZIP_END_BYTES))
        tail = stream.read()
    (told,) = struct.unpack_from("<H", tail, tail.rfind(b"PK\5\6") + 10)
    count = len(file.infolist())
    if not count:
        raise zipfile.BadZipFile("it lists no files")
    if told not in (count & 0xFFFF, min(count, 0xFFFF)):  # of more, writers tell either
        raise zipfile.BadZipFile(f"it lists {count} of {told} files")


class _Header(tarfile.TarInfo):
    """A header of a tar archive; one that is damaged or missing is an error, not the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Header:
        """ReadError where it is none, or announces more than a header has."""
        is_end = len(buf) == tarfile.BLOCKSIZE and not any(buf)
        try:
            header = super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as fault:
            if is_end:
                raise
            raise tarfile.ReadError(str(fault)) from None
        if header.type in _LONG_HEADERS and header.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header


def _tar_members(archive: Path, wants: Wants, place: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive, tarinfo=_Header) as file:
        for member in file:
            _require_inside(archive, member.name)
            if not (member.isdir() or member.isreg()):
                raise UserError(f"{archive}: {member.name} is a link or a device: refused")
            content = file.extractfile(member) if wants(_plain(member.name)) else None
            if content is not None:
                _require_room(archive, place, member.size)
                with content:
                    yield _plain(member.name), content
        # gzip's checksum comes after all that tarfile reads, which ends at the first empty block
        while file.fileobj is not None and (rest := file.fileobj.read(BUFFER_BYTES)):
            if rest.strip(b"\0"):
                raise tarfile.ReadError("it goes on behind its end")


def _plain(name: str) -> str:
    """The path without the leading `./` of some archives."""
    return str(PurePosixPath(name))


def _require_inside(archive: Path, name: str) -> None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[:1] or "\0" in name:
        raise UserError(
            f"{archive}: names {name!r:.80}, a file outside the folder; such an archive is not "
            "unpacked: remove it, and fetch it from where it comes from"
        )


def _require_room(archive: Path, place: Path, needed: int) -> None:
    free = shutil.disk_usage(place).free
    if needed > free:
        raise UserError(
            f"{archive}: needs {needed} bytes, but only {free} are free on this disk; free some "
            "space and run the same command again"
        )


@contextmanager
def _damage_named(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as fault:
        if isinstance(fault, OSError) and fault.errno is not None:  # the disk's, not gzip's
            raise UserError(f"{archive}: cannot be read ({fault.strerror})") from None
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)
        raise UserError(
            f"{archive}: is cut off or damaged ({reason:.100}); remove it and run the same command "
            "again"
        ) from None


def _write(content: IO[bytes], file: Path) -> None:
    """Copies a file; errors of the archive and of the disk are raised separately."""
    with disk_errors(file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: a buffer would be flushed at close, outside `disk_errors`.
            out = open(file, "xb", buffering=0)  # noqa: SIM115  closed below
        except (FileExistsError, NotADirectoryError):
            raise ValueError(f"it has the name {file.name!r:.80} twice") from None
    with out:
        while piece := content.read(BUFFER_BYTES):
            with disk_errors(file):
                write_all(out.fileno(), piece)


def _move(source: Path, target: Path) -> None:
    """Moves a folder's content into another; existing files are kept."""
    if not os.path.lexists(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(source, target)
        return
    if source.is_dir() and target.is_dir():
        for entry in sorted(source.iterdir()):
            _move(entry, target / entry.name)
        with suppress(OSError):
            source.rmdir()
    elif source.is_dir():
        shutil.rmtree(source)
    else:
        source.unlink()
