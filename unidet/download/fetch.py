"""One file from a server: resumed where it broke off, checked, in its place whole or not at all."""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from unidet.errors import UserError
from unidet.store.disk import sync
from unidet.store.hashing import BUFFER_BYTES, sha256_file

Progress = Callable[[int, int], None]
"""Told how many bytes are here, and of how many; 0 where the server does not say."""

SILENCE = 60.0
"""So many seconds a server may say nothing."""
ATTEMPTS = 5
"""So often a server may break off without having sent anything new."""
_PAUSE = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BROKEN = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Expected:
    """What a file must be; 0 and an empty text where nobody knows.

    `noted` is the file in which an earlier download has noted the sha256 that nobody publishes.
    """

    bytes: int = 0
    sha256: str = ""
    noted: str = ""


class Missing(UserError):
    """The server has no such file."""


class _BrokenOff(Exception):
    """The connection ended before the file; what has come is kept."""


def fetch(
    address: str, target: Path, expected: Expected, progress: Progress = lambda done, total: None
) -> str:
    """Bring a file to `target`, which must not be there; returns its sha256.

    What has come lies in `target` with `.part` behind, from which the next call goes on, if the
    server still has the same file.

    Raises:
        Missing: 404 or 410.
        UserError: another refusal, a server that cannot be reached or breaks off again and again,
            another size or content than expected, a full disk.
    """
    partial = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    failures, reason = 0, ""
    while failures < ATTEMPTS:
        before = _size(partial)
        try:
            _receive(address, partial, expected, progress)
            return _finish(address, partial, target, expected)
        except _BrokenOff as fault:
            reason = str(fault)
            failures = 0 if _size(partial) > before else failures + 1
            if failures < ATTEMPTS:
                time.sleep(_PAUSE * 2**failures)
    raise UserError(
        f"{address}: {reason}; {_size(partial)} bytes are kept, the same command goes on from there"
    )


def _receive(address: str, partial: Path, expected: Expected, progress: Progress) -> None:
    """Append what is lacking; _BrokenOff where the server stops before the end."""
    have = _size(partial)
    if expected.bytes and have == expected.bytes:
        return
    with _opened(address, partial, have, is_known=bool(expected.sha256)) as answer:
        if answer.status != 206:  # the whole file, because it is another or ranges are not served
            have = 0
        total = _total(answer, have)
        if expected.bytes and total and total != expected.bytes:
            raise UserError(
                f"{address}: has {total} bytes at the server, {expected.bytes} are expected; give "
                "another address, or its new size and sha256"
            )
        _require_room(partial.parent, total - have)
        _note_version(partial, answer)
        with disk_errors(partial), open(partial, "ab" if have else "wb") as out:
            have = _copy(answer, out, have, total, progress)
    if have < (total or expected.bytes):
        raise _BrokenOff(f"the server stopped after {have} of {total or expected.bytes} bytes")


def _opened(address: str, partial: Path, have: int, *, is_known: bool) -> Any:
    """The answer of the server, which begins at byte `have` if its status is 206.

    A rest is asked for where something will tell if it is of another version: the server, or the
    sha256 that is known.
    """
    headers = {"Accept-Encoding": "identity", "User-Agent": "unidet"}
    version = _version_file(partial)
    if have and (version.is_file() or is_known):
        headers["Range"] = f"bytes={have}-"
    if have and version.is_file():
        headers["If-Range"] = version.read_text()
    try:
        answer = urlopen(Request(address, headers=headers), timeout=SILENCE)
    except HTTPError as fault:
        fault.close()
        raise _refusal(address, partial, fault) from None
    except URLError as fault:
        raise _BrokenOff(f"cannot be reached ({fault.reason})") from None
    except _BROKEN as fault:
        raise _BrokenOff(f"cannot be reached ({fault})") from None
    start = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if answer.status == 206 and not (start and int(start[1]) == have):
        raise UserError(f"{address}: the server answers with another range than was asked for")
    return answer


def _refusal(address: str, partial: Path, fault: HTTPError) -> Exception:
    """What an answer of 400 or more means: try again, or what to say."""
    says = f"{address}: the server says {fault.code} {fault.reason}"
    if fault.code in (404, 410):
        return Missing(f"{says}; has the file moved? another address can be given")
    if fault.code == 416:  # what is here is longer than the file there
        partial.unlink(missing_ok=True)
        return _BrokenOff("the file has changed at the server")
    if fault.code in (408, 429) or fault.code >= 500:
        return _BrokenOff(f"the server says {fault.code} {fault.reason}")
    return UserError(f"{says}; may this file be had without a login?")


def _copy(answer: Any, out: Any, have: int, total: int, progress: Progress) -> int:
    """How many bytes are here when the server ends."""
    progress(have, total)
    while True:
        try:
            piece = answer.read1(BUFFER_BYTES)
        except _BROKEN as fault:
            raise _BrokenOff(f"the server broke off after {have} bytes ({fault})") from None
        if not piece:
            return have
        out.write(piece)
        have += len(piece)
        progress(have, total)


def _finish(address: str, partial: Path, target: Path, expected: Expected) -> str:
    """Check what has come and give it its name; what is wrong does not stay."""
    digest, size = sha256_file(partial), _size(partial)
    wrong = ""
    if expected.bytes and size != expected.bytes:
        wrong = f"{size} bytes, not {expected.bytes}"
    elif expected.sha256 and digest != expected.sha256:
        wrong = f"sha256 {digest}, not {expected.sha256}"
    _version_file(partial).unlink(missing_ok=True)
    if wrong:
        partial.unlink()
        again = "the same command fetches it again"
        if expected.noted:
            again = f"delete {expected.noted} if the publisher has changed the file"
        raise UserError(f"{address}: what came has {wrong}, and was removed; {again}")
    sync(partial)
    os.replace(partial, target)
    sync(target.parent)
    return digest


def _total(answer: Any, have: int) -> int:
    """Bytes of the whole file, 0 where the server does not say."""
    length = answer.headers.get("Content-Length", "")
    return have + int(length) if length.isdecimal() else 0


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.version")


def _note_version(partial: Path, answer: Any) -> None:
    """Keep what tells this version of the file at the server; without it nothing is resumed."""
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    with disk_errors(partial):
        if version and not version.startswith("W/"):
            _version_file(partial).write_text(version)
        else:
            _version_file(partial).unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _require_room(folder: Path, bytes_needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if bytes_needed > free:
        raise UserError(
            f"{folder}: {bytes_needed} bytes are to come, {free} are free on this disk; free some "
            "space, or choose another folder with --out"
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Around writing: a full disk is a line that says so; other errors name the file."""
    try:
        yield
    except OSError as fault:
        reason = "the disk is full" if fault.errno in _FULL else str(fault.strerror or fault)
        raise UserError(
            f"{path}: cannot be written ({reason}); what is here is kept, the same command goes on"
        ) from None
