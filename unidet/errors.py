"""The exception for errors of users, and parts of its messages."""

from __future__ import annotations

import codecs
import difflib
import errno
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """An error in the input: one line that says what is wrong, where, what is allowed and what to
    do.

    The command line prints the message without a traceback and exits with status 2.
    """


class Malformed(UserError):
    """A file of an artefact that its stage cannot have written: altered by the disk, or from a
    store of another program.
    """


_PACKED = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
_PACKED |= {b"7z\xbc\xaf": "7z", b"Rar!": "rar", b"\x28\xb5\x2f\xfd": "zstd"}
_PAGE = re.compile(
    rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html|head|\?xml[^>]*>\s*<error)\b", re.IGNORECASE
)
_POINTER = b"version https://git-lfs"
_SHOWN = 40
# The first name in a zip archive, by its ending: formats of which zip is the container.
_ZIPPED = {b".pkl": "a PyTorch file", b".npy": "a numpy archive (.npz)"}
_ZIPPED |= {b"[Content_Types].xml": "an Office document", b"mimetype": "an office document"}
HEAD = 288
"""First bytes of a file that are enough to tell what it is: 30 of a zip archive, then a name."""


def other_kind(head: bytes) -> str:
    """What a file with these first bytes is instead of the expected format, and what to do; empty
    if unknown. `HEAD` of them are enough.
    """
    if not head:
        return "is empty: fetch or write it again"
    if head.startswith(_POINTER):
        return "is a Git LFS pointer, not the file itself: run git lfs pull"
    if _PAGE.match(head):
        return "is a web page, not the file itself: the download was refused; fetch it again"
    if kind := _zipped(head):
        return f"is {kind}, which is not read here"
    packed = next((name for mark, name in _PACKED.items() if head.startswith(mark)), "")
    return f"is packed ({packed}): unpack it first" if packed else ""


def _zipped(head: bytes) -> str:
    """What a zip archive with these first bytes is the container of; empty if of plain files."""
    if not head.startswith(b"PK\x03\x04"):
        return ""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    return next((kind for ending, kind in _ZIPPED.items() if name.endswith(ending)), "")


def kind_among(kinds: Iterable[tuple[int, bytes, str]], head: bytes) -> str:
    """The first kind whose signature stands in a file's first bytes where it says; else empty."""
    return next((kind for start, mark, kind in kinds if head.startswith(mark, start)), "")


def text_or_zeros(head: bytes) -> str:
    """What a file with these first bytes is that should hold binary data: text, or the zeros of a
    copy that broke off; empty if neither.
    """
    if head and not head.strip(b"\0"):
        return "begins with zeros, as a copy that broke off"
    try:  # a letter may be cut off at the end
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head[:_SHOWN])
    except UnicodeDecodeError:
        return ""
    printable = all(letter.isprintable() or letter.isspace() for letter in text)
    if not text or b"\0" in head or not printable:
        return ""
    return f"is text, which begins with {text.strip()!r}"


def not_binary(head: bytes) -> str:
    """What a file with these first bytes is that should hold binary data, a format of its own
    apart: another kind of file, text or zeros, and what to do; empty if none is known.
    """
    if reason := other_kind(head):
        return reason
    text = text_or_zeros(head)
    return f"{text}: fetch or write it again" if text else ""


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`did you mean 'x'? ` for a misspelt word, as part of a message; empty if no known word is
    near.
    """
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def absence(path: Path) -> str:
    """What to say of a path at which a file was to be, and is none."""
    return "is not a file" if path.exists() else "does not exist"


def in_the_way(path: str) -> Path:
    """The file that stands where a folder on the way to `path` belongs; of a path without one, its
    nearest part that exists."""
    return next(place for place in (Path(path), *Path(path).parents) if os.path.lexists(place))


def require_end(path: Path | str) -> None:
    """OSError where a path is missing or is a pipe, socket or device, which may have no end."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        reason = "is no file, but a pipe, a socket or a device"
        raise OSError(errno.EINVAL, reason, os.fspath(path))
