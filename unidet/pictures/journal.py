"""The journal of `unidet detect` in an output folder, for resuming and recognizing its own files.

One line for each step, appended as it is done: digits of its checksum, a blank, and as JSON

    {"settings": {…}}                a run's settings; results of other settings do not count
    {"file": "a/x.jpg"}              is about to be written, so that it may be replaced later
    {"picture": "../photos/x.jpg", …} is done: the file's `stat_of`, and what was detected

Images are named by their way from the output folder, however they were given. A crash leaves a torn
last line at most, which is cut off.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

from unidet.errors import UserError
from unidet.store.disk import check_folder, make_folder
from unidet.store.plain_json import parse_json

JOURNAL = ".unidet_detect.jsonl"
_DIGITS = 16  # hexadecimal digits of a line's SHA-256


class Journal:
    """The journal of one folder, locked by this process; closed by `with`.

    Nothing is made before `begin`.

    Raises:
        UserError: the folder cannot be written, another process works there, or the journal holds
            what no run has written.
    """

    def __init__(self, folder: Path) -> None:
        check_folder(folder)
        self.path = folder / JOURNAL
        self._files: dict[str, str] = {}  # own file -> the image that it was last written for
        self._places: dict[str, int] = {}  # offset of a line
        self._earlier: dict[str, int] = {}  # the same for other settings
        self._settings: Any = None
        self._opened: FileIO | None = None
        self._lock = threading.Lock()  # images are written by several threads
        if os.path.lexists(self.path):
            self._open()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            self._opened.close()

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Start a run; results of other settings no longer count."""
        if self._opened is None:
            make_folder(self.path.parent)
            self._open()
        if self._settings != json.loads(json.dumps(settings)):
            self._set_aside()
            self._append({"settings": settings})

    def owns(self, name: str) -> bool:
        """Whether a file of this folder was written by a run."""
        return name in self._files

    def will_write(self, name: str) -> None:
        """Note a file of this folder before it is written."""
        with self._lock:
            if name in self._files:
                return
            self._files[name] = ""
            self._append({"file": name})
        # Otherwise a file could exist after a power cut without an entry in the journal.
        with self._written():
            os.fdatasync(self._stream.fileno())

    def done(self, path: str) -> dict[str, Any] | None:
        """The record of an image; None if it is not done, has changed, or lost an output file."""
        key = self._key(path)
        record = self._of(key)
        if record is None or not os.path.exists(path) or record["stat"] != stat_of(path):
            return None
        there = all(
            self._files.get(name) == key and (self.path.parent / name).exists()
            for name in record["files"]
        )
        return record if there else None

    def record(self, path: str) -> dict[str, Any] | None:
        """The last record of an image, or a frame of a video, read from the disk."""
        return self._of(self._key(path))

    def _of(self, key: str) -> dict[str, Any] | None:
        return self._at(self._places[key]) if key in self._places else None

    def _key(self, path: str) -> str:
        """One name for all ways to spell a path, which moves with the folders."""
        return os.path.relpath(os.path.abspath(path), os.path.abspath(self.path.parent))

    def _at(self, place: int) -> dict[str, Any]:
        with open(self.path, "rb") as stream:
            stream.seek(place)
            return self._parsed(stream.readline())

    def add(self, path: str, record: Mapping[str, Any]) -> list[str]:
        """Record that an image, or a frame of a video, is finished.

        Returns:
            Files of an earlier run that this run has not written.
        """
        files, key = record["files"], self._key(path)
        with self._lock:
            place = self._places.get(key)
            if place is None:
                place = self._earlier.pop(key, None)
            before = [] if place is None else self._at(place)["files"]
            self._places[key] = self._append({"picture": key, **record})
            self._files |= dict.fromkeys(files, key)
            return [name for name in before if name not in files and self._files.get(name) == key]

    def _set_aside(self) -> None:
        """Set aside the journal of other settings."""
        self._earlier |= self._places
        self._places.clear()

    @property
    def _stream(self) -> FileIO:
        assert self._opened is not None, "begin comes first"
        return self._opened

    def _open(self) -> None:
        if os.path.lexists(self.path) and (self.path.is_symlink() or not self.path.is_file()):
            raise UserError(f"{self.path}: is no plain file; remove it")
        stream = open(self.path, "a+b", buffering=0)  # noqa: SIM115  closed by __exit__
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._opened = stream
            self._settings = self._read()
        except BlockingIOError:
            stream.close()
            raise UserError(
                f"{self.path.parent}: another unidet detect writes there; wait for it, or choose "
                "another folder with --out"
            ) from None
        except UserError:
            stream.close()
            raise

    def _append(self, line: Mapping[str, Any]) -> int:
        text = json.dumps(line).encode()
        data = _checksum(text) + b" " + text + b"\n"
        place = self._stream.seek(0, os.SEEK_END)
        with self._written():
            try:
                written = 0
                while written < len(data):
                    written += self._stream.write(data[written:])
            except OSError:
                with suppress(OSError):
                    self._stream.truncate(place)
                raise
        return place

    @contextmanager
    def _written(self) -> Iterator[None]:
        """Context that raises UserError if the journal cannot be written."""
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error

    def _read(self) -> Any:
        """Read all lines; returns the last settings."""
        settings = None
        for place, line in self._lines():
            entry = self._parsed(line)
            if "settings" in entry:
                settings = entry["settings"]
                self._set_aside()
            elif "file" in entry:
                self._files.setdefault(entry["file"], "")
            else:
                key = entry["picture"]
                self._places[key] = place
                self._files |= dict.fromkeys(entry["files"], key)
        return settings

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        """All lines with their offsets; an incomplete last line is cut off."""
        place = 0
        with open(self.path, "rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    self._stream.truncate(place)
                    return
                yield place, line
                place += len(line)

    def _parsed(self, line: bytes) -> dict[str, Any]:
        try:
            return _entry(line)
        except ValueError:
            raise self.damaged() from None

    @contextmanager
    def read(self) -> Iterator[None]:
        """Context in which records are taken apart that may not be as a run writes them."""
        try:
            yield
        except (TypeError, ValueError, LookupError, OverflowError):
            raise self.damaged() from None

    def damaged(self) -> UserError:
        """The error for a journal with what no run has written; somebody may have sent it."""
        return UserError(
            f"{self.path}: is damaged, or of another version; remove it, and what detect has "
            "left beside it"
        )


class Written:
    """Which files `unidet detect` has written, as the journals of its output folders tell."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}

    def has(self, path: str, top: str = os.sep) -> bool:
        """Whether a journal in the folder `top` or below it names this file in it."""
        path, top = os.path.abspath(path), os.path.abspath(top)
        folder, below = path, ""
        while folder != top and folder != os.path.dirname(folder):
            folder, name = os.path.split(folder)
            below = os.path.join(name, below) if below else name
            if below in self._of(folder):
                return True
        return False

    def _of(self, folder: str) -> frozenset[str]:
        """What the journal of this folder names, relative to it; nothing if there is none."""
        if folder not in self._known:
            journal = os.path.join(folder, JOURNAL)
            self._known[folder] = frozenset(_named(journal) if os.path.isfile(journal) else ())
        return self._known[folder]


def _named(journal: str) -> Iterator[str]:
    """The files that a journal names; damaged lines name none."""
    with open(journal, "rb") as stream:
        for line in stream:
            if line[_DIGITS:].startswith(b' {"file"'):
                with suppress(ValueError):
                    yield _entry(line)["file"]


def _entry(line: bytes) -> dict[str, Any]:
    """What a line says; ValueError where no run has written it."""
    checksum, _, text = line.rstrip(b"\n").partition(b" ")
    if checksum != _checksum(text):
        raise ValueError("another checksum")
    try:
        entry = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if type(entry) is not dict or not _is_right(entry, text):
        raise ValueError("another form")
    return entry


def _is_right(entry: dict[str, Any], text: bytes) -> bool:
    if "settings" in entry:
        return bool(parse_json(text))  # which are compared, however deep
    if "file" in entry:
        return _is_below(entry["file"])
    files = entry.get("files")
    return type(entry.get("picture")) is str and type(files) is list and all(map(_is_below, files))


def _is_below(name: Any) -> bool:
    """Whether it names a file in the folder of the journal or below; earlier ones are removed.

    ValueError if a path cannot hold it.
    """
    if type(name) is not str or b"\0" in os.fsencode(name):
        return False
    return not os.path.isabs(name) and ".." not in name.split(os.sep)


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_DIGITS].encode()


def stat_of(path: str) -> list[int]:
    """Size, mtime, ctime and inode of a file, which show whether it has changed.

    Programs that edit in place may restore the mtime, but not the ctime.
    """
    state = os.stat(path)
    return [state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino]
