"""A partial download: the received bytes, and a note that validates them."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from unidet.store.disk import read_sealed, sync, write_sealed
from unidet.store.hashing import BUFFER_BYTES

NOTED_BYTES = 64 << 20
"""Number of bytes between notes; a crash loses at most these."""


@dataclass(frozen=True)
class Version:
    """A file's version at the server: its tag (or empty), and its size in bytes (0: unknown)."""

    tag: str
    total: int


class Partial:
    """A partial download at `path`. End with `close`.

    Only bytes that the note beside it covers by their SHA-256 are resumed: a crash can leave zeros
    at the end, and disks can alter bytes. Without a published sha256 nobody would notice.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = Version("", 0)
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._noted = 0
        self._restore()
        mode = "r+b" if path.exists() else "wb"
        self._file = open(path, mode, buffering=0)  # noqa: SIM115  see `close`
        self._file.truncate(self.bytes)
        self._file.seek(self.bytes)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def start_anew(self) -> None:
        """Discards all received bytes and the version."""
        self._note_path.unlink(missing_ok=True)
        self._file.truncate(0)
        self._file.seek(0)
        self._hash = hashlib.sha256()
        self.version, self.bytes, self._noted = Version("", 0), 0, 0

    def write(self, piece: bytes) -> None:
        while piece:
            count = self._file.write(piece)
            self._hash.update(piece[:count])
            self.bytes += count
            piece = piece[count:]
        if self.bytes >= self._noted + NOTED_BYTES:
            self._note()

    def move(self, target: Path) -> None:
        """Syncs the file, moves it to `target` and removes the note."""
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self.path, target)
        sync(target.parent)
        self._note_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Writes a note, unless the file was moved. If that fails, the previous note remains."""
        if self._file.closed:
            return
        with suppress(OSError):
            self._note()
        self._file.close()
        if not self.bytes:
            self.path.unlink(missing_ok=True)
            self._note_path.unlink(missing_ok=True)

    def _note(self) -> None:
        os.fdatasync(self._file.fileno())
        note = {**asdict(self.version), "bytes": self.bytes, "sha256": self.sha256}
        write_sealed(self._note_path, json.dumps(note).encode())
        self._noted = self.bytes

    @property
    def _note_path(self) -> Path:
        return self.path.with_name(f"{self.path.name}.note")

    def _restore(self) -> None:
        sealed = read_sealed(self._note_path)
        if sealed is None or not self.path.is_file():
            return
        note = json.loads(sealed)
        known = hashlib.sha256()
        with open(self.path, "rb") as file:
            left = note["bytes"]
            while left and (piece := file.read(min(left, BUFFER_BYTES))):
                known.update(piece)
                left -= len(piece)
        if not left and known.hexdigest() == note["sha256"]:
            self.version = Version(note["tag"], note["total"])
            self.bytes, self._noted, self._hash = note["bytes"], note["bytes"], known
