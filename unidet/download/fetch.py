"""Downloads one file: resumes, verifies, and moves it to its place only when complete."""

from __future__ import annotations

import errno
import http.client
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

from unidet.download.partial import Partial, Version
from unidet.errors import UserError
from unidet.store.hashing import BUFFER_BYTES

Progress = Callable[[int, int], None]
"""Called with the number of bytes received and the total; 0 if the server does not say."""

SILENCE = 60.0
"""Time limit for a silent server, in seconds."""
ATTEMPTS = 5
"""Number of consecutive attempts without new bytes, after which the download fails."""
_PAUSE = 1.0
_FULL = (errno.ENOSPC, errno.EDQUOT)
_BROKEN = (OSError, http.client.HTTPException)
_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII)


@dataclass(frozen=True)
class Expected:
    """Expected size and digest; 0 and empty if unknown.

    `noted`: the file in which an earlier download recorded the sha256, if nobody publishes it.
    """

    bytes: int = 0
    sha256: str = ""
    noted: str = ""


class Missing(UserError):
    """The server has no such file."""


class _BrokenOff(Exception):
    """The connection ended before the file was complete; received bytes are kept."""


def fetch(
    address: str,
    target: Path,
    expected: Expected,
    progress: Progress = lambda done, total: None,
    note: Callable[[str], None] = lambda digest: None,
) -> str:
    """Downloads a file to `target`, which must not exist; returns its sha256.

    Received bytes are kept in `target` with the suffix `.part`. The next call resumes there if the
    server still has the same file.

    Args:
        progress: see `Progress`.
        note: called with the sha256 before the file is moved to `target`.

    Raises:
        Missing: the server answers 404 or 410.
        UserError: the server refuses, cannot be reached or keeps breaking off; size or content
            differ from `expected`; the disk is full.
    """
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Partial(target.with_name(f"{target.name}.part"))
    try:
        reason = _receive_all(address, partial, expected, progress)
        if not reason:
            digest = _checked(address, partial, expected)
            note(digest)
            with disk_errors(target):
                partial.move(target)
            return digest
    finally:
        partial.close()
    raise UserError(
        f"{shown(address)}: {reason}; {partial.bytes} bytes are kept, the same command continues "
        "from there"
    )


def shown(address: str) -> str:
    """An address for messages, without secrets: user, password and query are removed."""
    return re.sub("//[^/]*@", "//***@", _without_query(address))


def name_of(address: str) -> str:
    """The file name in an address."""
    return _without_query(address).rpartition("/")[2]


def _without_query(address: str) -> str:
    return address.partition("#")[0].partition("?")[0]


def _receive_all(address: str, partial: Partial, expected: Expected, progress: Progress) -> str:
    """Repeats until the file is complete; returns an empty text, or why the server stopped."""
    failures, most, reason = 0, partial.bytes, ""
    while failures < ATTEMPTS and (reason := _broken(address, partial, expected, progress)):
        # Only bytes beyond the previous maximum count: a server may always restart the file.
        failures = 0 if partial.bytes > most else failures + 1
        most = max(most, partial.bytes)
        if failures < ATTEMPTS:
            time.sleep(_PAUSE * 2**failures)
    return reason


def _broken(address: str, partial: Partial, expected: Expected, progress: Progress) -> str:
    """Why one attempt ended before the file was complete; empty if it is complete."""
    try:
        _receive(address, partial, expected, progress)
    except _BrokenOff as fault:
        return str(fault)
    return ""


def _receive(address: str, partial: Partial, expected: Expected, progress: Progress) -> None:
    """Appends the missing bytes; raises _BrokenOff if the server stops before the end."""
    if expected.bytes and partial.bytes == expected.bytes:
        return
    with disk_errors(partial.path):
        # Resume only if a change of the file would be noticed: by the server's tag, or by a known
        # sha256.
        if not (partial.version.tag or expected.sha256):
            partial.start_anew()
        with _opened(address, partial) as answer:
            version = _version(address, answer, partial)
            if expected.bytes and version.total and version.total != expected.bytes:
                raise UserError(
                    f"{shown(address)}: has {version.total} bytes at the server, {expected.bytes} "
                    "are expected; give another address, or its new size and sha256"
                )
            _require_room(partial.path.parent, version.total - partial.bytes)
            partial.version = version
            total = version.total or expected.bytes
            _copy(answer, partial, total, progress)
    if partial.bytes < total:
        raise _BrokenOff(f"the server stopped after {partial.bytes} of {total} bytes")


def _opened(address: str, partial: Partial) -> Any:
    """The server's answer to a request for the missing bytes."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "unidet"}
    if partial.bytes:
        headers["Range"] = f"bytes={partial.bytes}-"
        if partial.version.tag:
            headers["If-Range"] = partial.version.tag
    try:
        return urlopen(Request(address, headers=headers), timeout=SILENCE)
    except HTTPError as fault:
        fault.close()
        raise _refusal(address, partial, fault) from None
    except URLError as fault:
        raise _BrokenOff(f"cannot be reached ({fault.reason})") from None
    except (ValueError, http.client.InvalidURL):
        raise UserError(
            f"{shown(address)}: this address, or one that the server redirects to, is not valid; "
            "correct it, with letters beyond ASCII as %C3%A9"
        ) from None
    except _BROKEN as fault:
        raise _BrokenOff(f"cannot be reached ({fault})") from None


def _refusal(address: str, partial: Partial, fault: HTTPError) -> Exception:
    """The error for a status of 400 or more: _BrokenOff to try again, else UserError."""
    reason = next(iter(str(fault.reason).splitlines()), "")
    says = f"{shown(address)}: the server says {fault.code} {reason}"
    if fault.code in (404, 410):
        return Missing(f"{says}; has the file moved? another address can be given")
    if fault.code == 416:  # the partial file is longer than the server's file
        partial.start_anew()
        return _BrokenOff("the file has changed at the server")
    if fault.code in (408, 429) or fault.code >= 500:
        return _BrokenOff(f"the server says {fault.code} {reason}")
    return UserError(f"{says}; is this file available without a login?")


def _version(address: str, answer: Any, partial: Partial) -> Version:
    """The version that the server sends; empties `partial` if it sends the whole file."""
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    tag = tag if tag.isascii() and tag.isprintable() and not tag.startswith("W/") else ""
    if answer.status == 200:  # the whole file: it has changed, or ranges are not supported
        partial.start_anew()
        return Version(tag, _number(answer.headers.get("Content-Length", "")))
    part = _RANGE.fullmatch(answer.headers.get("Content-Range", ""))
    if answer.status != 206 or not part or int(part[1]) != partial.bytes:
        raise UserError(
            f"{shown(address)}: the server answers with another range than was asked for, or with "
            f"none (status {answer.status})"
        )
    version = Version(tag or partial.version.tag, int(part[2]))
    if partial.bytes and version != partial.version and partial.version.tag:
        partial.start_anew()
        raise _BrokenOff("the file has changed at the server")
    return version


def _copy(answer: Any, partial: Partial, total: int, progress: Progress) -> None:
    """Copies received bytes until the server ends."""
    progress(partial.bytes, total)
    while True:
        try:
            piece = answer.read1(BUFFER_BYTES)
        except _BROKEN as fault:
            reason = f"the server broke off after {partial.bytes} bytes ({fault})"
            raise _BrokenOff(reason) from None
        if not piece:
            return
        partial.write(piece)
        progress(partial.bytes, total)


def _checked(address: str, partial: Partial, expected: Expected) -> str:
    """The sha256 of the complete file; a file with a wrong size or digest is removed."""
    digest, wrong = partial.sha256, ""
    if expected.bytes and partial.bytes != expected.bytes:
        wrong = f"{partial.bytes} bytes, not {expected.bytes}"
    elif expected.sha256 and digest != expected.sha256:
        wrong = f"sha256 {digest}, not {expected.sha256}"
    if wrong:
        partial.start_anew()
        again = (
            "the same command fetches it again; if this server's file is to be another, give its "
            "files.NAME.bytes and files.NAME.sha256"
        )
        if expected.noted:
            again = f"delete {expected.noted} if the publisher has changed the file"
        raise UserError(
            f"{shown(address)}: the downloaded file has {wrong} and was removed; {again}"
        )
    return digest


def _number(text: str) -> int:
    """A size as a number; 0 if the text is no valid size."""
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else 0


def _require_room(folder: Path, bytes_needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if bytes_needed > free:
        raise UserError(
            f"{folder}: {bytes_needed} bytes are needed, but only {free} are free on this disk; "
            "free some space, or choose another folder with --out"
        )


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns OSError into UserError: one line that names the file and the reason."""
    try:
        yield
    except OSError as fault:
        reason = "the disk is full" if fault.errno in _FULL else str(fault.strerror or fault)
        raise UserError(
            f"{path}: cannot be written ({reason}); the part that is here is kept, the same "
            "command continues"
        ) from None
