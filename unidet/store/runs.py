"""Log of the artefacts that commands requested: append-only, in refs/runs, one file per month."""

from __future__ import annotations

import errno
import json
import os
import re
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from unidet.store.disk import entries, make_folder, read_plain, sync
from unidet.store.hashing import canonical_json, naming, sha256_bytes, write_all
from unidet.store.plain_json import parse_json, to_record
from unidet.store.provenance import command, utc

How = Literal["cached", "fetched", "ran", "resumed"]
_MONTH = re.compile(r"\d{4}-\d{2}\.jsonl")
_MOST_BYTES = 2 << 30  # of a month: two million requests
_LINE = re.compile(rb"[^\r\n]+")
_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass(frozen=True)
class Run:
    """A request of a command for one artefact: which action it got, and how.

    `time` is UTC in ISO 8601; `name` is the requested dataset or vocabulary.
    """

    stage: str
    key: str
    how: How
    time: str
    host: str
    pid: int
    command: str
    name: str = ""


_FIELDS = {item.name for item in fields(Run)}


def append(folder: Path, stage: str, key: str, how: How, name: str = "") -> None:
    """Add one line; does nothing in a read-only store."""
    now = utc(time.time())
    run = Run(stage, key, how, now, socket.gethostname(), os.getpid(), command(), name)
    # One write in append mode is atomic; the leading newline ends a line that a crash cut off.
    line = b"\n" + json.dumps(_with_checksum(asdict(run))).encode() + b"\n"
    try:
        make_folder(folder)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        path = folder / _current(folder, now)
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            return
        raise
    parts = []
    try:
        with naming(path):
            while line:
                count = os.write(descriptor, line)
                parts.append((os.lseek(descriptor, 0, os.SEEK_CUR) - count, count))
                line = line[count:]
    except OSError:  # a full disk takes a part of it
        for place, count in parts:
            _overwrite(path, place, count)
        raise
    finally:
        os.close(descriptor)


def _with_checksum(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "checksum": sha256_bytes(canonical_json(values))}


def _current(folder: Path, now: str) -> str:
    """Name of this month's file, or of a later one if it exists because the clock was set back.

    Lines and files thus stay in the order in which they were written. A pipe, a link or a folder
    of that name, which may be a user's, stays, and the next month's name is taken.
    """
    files = logs(folder)
    plain = [path.name for path in files if stat.S_ISREG(path.lstat().st_mode)]
    odd = {path.name for path in files} - {*plain}
    current = max([f"{now[:7]}.jsonl", *plain])
    while current in odd:
        year, month = divmod(int(current[:4]) * 12 + int(current[5:7]), 12)
        current = f"{year:04d}-{month + 1:02d}.jsonl"
    return current


def logs(folder: Path) -> list[Path]:
    """The files of the log, oldest first."""
    return [path for path in entries(folder) if _MONTH.fullmatch(path.name)]


def read(folder: Path, stage: str | None = None) -> Iterator[Run]:
    """Requests in reverse order of writing; lines that a crash cut off are skipped."""
    for path in reversed(logs(folder)):
        try:
            lines = _LINE.findall(read_plain(path, _MOST_BYTES))
        except (FileNotFoundError, ValueError):  # not a log file
            continue
        for line in reversed(lines):
            run = _parse(line)
            if run is not None and stage in (None, run.stage):
                yield run


def _parse(line: bytes) -> Run | None:
    """None for a line that is cut off, damaged, or of a later version."""
    try:
        return to_record(Run, _values(line))
    except ValueError:
        return None


def _values(line: bytes) -> dict[str, Any]:
    """The fields of a request without the checksum, which the first versions did not write.

    Raises:
        ValueError: it is cut off or damaged.
    """
    values = parse_json(line)
    if type(values) is not dict:
        raise ValueError("not a JSON object")
    checksum = values.pop("checksum", None)
    unchecked = checksum is None and values.keys() <= _FIELDS
    if not unchecked and _with_checksum(values)["checksum"] != checksum:
        raise ValueError("its checksum does not match: it was altered")
    return values


def unreadable(path: Path) -> list[tuple[int, bytes]]:
    """Offset and content of each line that is no request: cut off by a crash, or damaged.

    Raises:
        ValueError: it is no plain file, or larger than a log.
        OSError: it cannot be read.
    """
    data = read_plain(path, _MOST_BYTES)
    if not data.endswith(b"\n"):  # unless cut, another process is writing its line
        data = read_plain(path, _MOST_BYTES)
    found = _LINE.finditer(data)
    return [(line.start(), line[0]) for line in found if not _is_whole(line[0])]


def count_unreadable(folder: Path) -> int:
    """Number of lines of the log that are no requests."""
    count = 0
    for path in logs(folder):
        with suppress(FileNotFoundError, ValueError):  # not a log file
            count += len(unreadable(path))
    return count


def _is_whole(line: bytes) -> bool:
    """Whether it is a request, also one of a later version, which has more fields."""
    try:
        return {"stage", "key", "how"} <= _values(line).keys()
    except ValueError:
        return False


def blank(path: Path) -> int:
    """Replace lines that are no requests by empty ones; returns their number.

    They are overwritten in place, because other processes append to the file meanwhile.
    """
    lines = unreadable(path)
    for place, line in lines:
        _overwrite(path, place, len(line))
    sync(path)
    return len(lines)


def _overwrite(path: Path, place: int, length: int) -> None:
    """Put empty lines there; not in append mode, in which Linux writes to the end alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    try:
        with naming(path):
            os.lseek(descriptor, place, os.SEEK_SET)
            write_all(descriptor, b"\n" * length)
    finally:
        os.close(descriptor)
