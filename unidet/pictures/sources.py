"""The sources of `unidet detect`: files, folders, patterns, videos, a list on standard input."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TextIO

from unidet.console.terminal import say
from unidet.data.file_kinds import is_film
from unidet.errors import HEAD, UserError, text_or_zeros
from unidet.formats.names import composed
from unidet.pictures.journal import Written

STANDARD_INPUT = "-"
_MARK = "\ufeff"  # byte order mark, at the start of text files written on Windows
_PICTURE = re.compile(
    r".+\.(jpe?g|jpe|jfif|png|webp|bmp|dib|gif|tiff?|mpo|jp2|j2k|p[pgbn]m|tga|hei[cf]|avif)",
    re.I | re.S,
)
_VIDEO = re.compile(
    r".+\.(mp4|avi|mov|mkv|webm|m4v|mpe?g|wmv|flv|3gp|3g2|m2ts|mts|vob|ogv|asf)", re.I | re.S
)
_WIDE = ("\udcff\udcfe", "\udcfe\udcff", "\xff\xfe", "\xfe\xff")  # UTF-16, read as UTF-8


@dataclass(frozen=True)
class Source:
    """One image or video.

    Attributes:
        path: as given, or below a given folder.
        name: path relative to the common folder of all sources, with `/`.
        fault: why the source cannot be read, or empty.
        is_video: by its suffix; a file of another suffix than those of images, by its content.
    """

    path: str
    name: str
    fault: str = ""
    is_video: bool = False


def find_sources(
    given: Sequence[str], *, recursive: bool = False, listed: TextIO | None = None
) -> list[Source]:
    """All images and videos of these arguments, in their order, each once.

    A folder stands for its images and videos, sorted by name, with subfolders if `recursive`. Files
    with other suffixes are skipped, in patterns too, in which `**` matches folders at any depth. A
    file given by name is used with any suffix. `-` stands for the lines of `listed`, by default
    standard input, without blank ones and comments, or for what NUL bytes part there (`find
    -print0`).

    What `unidet detect` has written is skipped: a pattern, a list or a shell that finds it beside
    the images would make its drawings images of the next run. It is used where it is named alone.

    Raises:
        UserError: there are no images and videos, or the list is not text in UTF-8.
    """
    entries = [entry for item in _without_lists(given, listed) for entry in _entries(item)]
    written = Written()
    entries = _without_outputs(entries, written)
    bases = [base for _, base, _ in entries]
    found: dict[str, tuple[str, str]] = {}
    for path, _, fault in _expanded(entries, recursive, written):
        if not fault and os.path.exists(path) and not os.path.isfile(path):
            fault = "is no file, but a pipe, a socket or a device"  # which might never be read
        if not fault and os.path.islink(path) and not os.path.exists(path):
            fault = "is a link that leads to no file"
        found.setdefault(os.path.abspath(path), (path, fault or _no_picture(path)))
    if all(fault for _, fault in found.values()):
        raise UserError(_nothing(given, [*found.values()], recursive))
    shared = os.path.commonpath([os.path.abspath(base) for base in bases])
    return [
        Source(path, os.path.relpath(place, shared), fault, _is_video(path))
        for place, (path, fault) in found.items()
    ]


Entry = tuple[str, str, str]
"""A path, the folder that its name is relative to, and a fault."""


def _without_lists(given: Sequence[str], listed: TextIO | None) -> Iterator[str]:
    for item in given:
        if item != STANDARD_INPUT:
            yield item
            continue
        yield from _listed((listed or sys.stdin).read())


def _listed(text: str) -> Iterator[str]:
    if text.startswith(_WIDE):
        raise UserError("-: the list is text in UTF-16; write it in UTF-8")
    text = text.removeprefix(_MARK)
    if "\0" in text:
        yield from filter(None, text.split("\0"))
    else:
        yield from filter(None, map(_path_of, text.replace("\r\n", "\n").split("\n")))


def _path_of(line: str) -> str:
    """What a line of a list names; empty for a blank one and a comment, `# …`.

    Spaces around it belong to it where there is such a file, as the mark of a comment does.
    """
    if os.path.exists(line):
        return line
    bare = line.strip()
    return "" if bare.startswith("#") and not os.path.exists(bare) else bare


def _entries(item: str) -> list[Entry]:
    path = os.path.expanduser(item)
    if os.path.isdir(path):
        return [(path, path, "")]
    base = os.path.dirname(path) or "."
    if os.path.lexists(path):
        return [(path, base, "")]
    if re.match(r"\w+://", item):
        return [(item, ".", "is an address, and files alone are read; fetch it first")]
    if not glob.has_magic(path):
        camera = "; a camera is not read, a video that it has taken is" * item.isdecimal()
        return [(path, base, f"no such file or folder{camera}{_as_there(item)}")]
    folder = os.path.dirname(path)
    while glob.has_magic(folder) and not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    # An existing path is not a pattern, even if it contains brackets.
    parts = path[len(folder) :].lstrip("/").split("/")
    found = set(_matching(folder, parts, (os.path.realpath(folder or "."),)))
    matches = sorted(found, key=_place_of)
    base = folder or "."
    pictures = [match for match in matches if os.path.isdir(match) or _looks_like_one(match)]
    return [(match, base, "") for match in pictures] or [(path, base, "no image has such a name")]


def _matching(folder: str, parts: Sequence[str], above: tuple[str, ...]) -> Iterator[str]:
    """What a pattern finds, in any order, as `glob.glob`, which follows links in a circle forty
    times.

    Args:
        folder: where the first of `parts` is looked for; empty for the working folder.
        above: the real paths of the folders on the way here, this one the last.
    """
    part, *others = parts
    anywhere = part == "**"
    if anywhere and others:
        yield from _matching(folder, others, above)
    for name in _names_like("*" if anywhere else part, folder):
        path, further = os.path.join(folder, name), parts if anywhere else others
        real = os.path.realpath(path) if os.path.isdir(path) else ""
        if real in above and name not in ("", os.curdir, os.pardir):
            continue
        if not others:
            yield path
        if further and real:
            yield from _matching(path, further, (*above, real))


def _names_like(part: str, folder: str) -> list[str]:
    """What is in a folder and fits one part of a pattern; names with a dot only if it has it."""
    if not glob.has_magic(part):
        return [part] if os.path.lexists(os.path.join(folder, part)) else []
    try:
        names = fnmatch.filter(os.listdir(folder or os.curdir), part)
    except OSError:
        return []
    return names if part.startswith(".") else [name for name in names if not name.startswith(".")]


def _place_of(name: str) -> tuple[list[str | int], str]:
    """By which names are sorted: numbers in them by value, so that `frame2` is before `frame10`."""
    parts = re.split(r"([0-9]+)", name)  # text and numbers by turns
    return [int(part) if row % 2 else part for row, part in enumerate(parts)], name


def _without_outputs(entries: list[Entry], written: Written) -> list[Entry]:
    """Without files that `detect` has written, unless these are all that is given."""
    is_output = [not os.path.isdir(path) and written.has(path) for path, _, _ in entries]
    count, usable = sum(is_output), sum(not fault for _, _, fault in entries)
    if count in (0, usable):
        return entries
    first = entries[is_output.index(True)][0]
    what = "it is" if count == 1 else f"it and {count - 1} more are"
    say(f"{first}: was written by detect; {what} passed over")
    return [entry for entry, output in zip(entries, is_output, strict=True) if not output]


def _expanded(entries: Sequence[Entry], recursive: bool, written: Written) -> Iterator[Entry]:
    """The files of folders."""
    for path, base, fault in entries:
        if fault or not os.path.isdir(path):
            yield path, base, fault
            continue
        pictures = _below(path, recursive, (os.path.realpath(path),))
        yield from ((item, base, "") for item in pictures if not written.has(item, path))


def _below(folder: str, recursive: bool, above: tuple[str, ...]) -> Iterator[str]:
    """The images and videos of a folder, then those of its folders; links are followed, but for
    those in a circle, to one of the real paths `above`.
    """
    try:
        with os.scandir(folder) as listed:
            items = sorted(listed, key=lambda item: _place_of(item.name))
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be listed ({error.strerror})") from None
    yield from (item.path for item in items if _looks_like_one(item.name) and not _is_folder(item))
    for item in items if recursive else ():
        if _is_folder(item) and (real := os.path.realpath(item.path)) not in above:
            yield from _below(item.path, recursive, (*above, real))


def _is_folder(item: os.DirEntry[str]) -> bool:
    """Of a link that leads to itself, `is_dir` would raise an error."""
    return os.path.isdir(item.path) if item.is_symlink() else item.is_dir()


def _looks_like_one(name: str) -> bool:
    name = os.path.basename(name)
    known = _PICTURE.fullmatch(name) or _VIDEO.fullmatch(name)
    return known is not None and not name.startswith(".")


def _is_video(path: str) -> bool:
    """By suffix, or by the first bytes of a file that has none of an image."""
    if _VIDEO.fullmatch(path):
        return True
    return _PICTURE.fullmatch(path) is None and is_film(_head(path))


def _no_picture(path: str) -> str:
    """Why a file of text that is given as a source is none; empty if it may be one."""
    if not path.lower().endswith((".txt", ".lst", ".list", ".csv")) or not os.path.isfile(path):
        return ""
    text = text_or_zeros(_head(path))
    command = f"unidet detect - < {shlex.quote(path)}"
    return f"{text}; a list of images is given on standard input: {command}" if text else ""


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(HEAD)
    except OSError:  # reported when it is read
        return b""


def _as_there(item: str) -> str:
    """How a missing path is spelt where it is there: without quotes or blanks, with other folder
    signs, capitals or Unicode forms.
    """
    plain = item.strip().strip("'\"").replace("\\", "/")
    folder, name = os.path.split(plain)
    try:
        names = os.listdir(folder or ".")
    except OSError:
        return ""
    wanted = composed(name).casefold()
    same = next((other for other in sorted(names) if composed(other).casefold() == wanted), "")
    return f"; there is {os.path.join(folder, same)!r}" if same else ""


def _nothing(given: Sequence[str], found: Sequence[tuple[str, str]], recursive: bool) -> str:
    if found:
        more = f" (and {len(found) - 1} others)" if len(found) > 1 else ""
        return f"{found[0][0]}: {found[0][1]}{more}"
    if list(given) == [STANDARD_INPUT]:
        return "-: the list on standard input is empty"
    hint = "" if recursive else "; -r looks into their folders too"
    return f"{', '.join(given)}: no images there{hint}"
