"""Digests of the content of files and folders outside the store, cached by their `stat`."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unidet.errors import UserError
from unidet.store.derived import read_derived
from unidet.store.disk import write_sealed
from unidet.store.hashing import digest, sha256_bytes, sha256_file
from unidet.store.threads import pool_of

# A file that changes twice within one tick of its file system's clock looks unchanged. So files
# changed less than this before they were read are read again next time. ctime counts too, which
# programs cannot set.
SETTLED_NS = 2_000_000_000
WORKERS = 8

State = tuple[int, int, int, int]  # size, mtime_ns, ctime_ns, inode
Entry = tuple[str, str, State]  # relative name, path, state

# Shapes of the two files. Head: fingerprint of all names and states, digest. Rows: relative name,
# state, sha256.
HEAD = (str, str)
ROW = (str, (int, int, int, int), str)


@dataclass(frozen=True)
class StatCache:
    """A folder with two small files per requested path; it may be deleted at any time."""

    folder: Path

    def digest_of(self, path: Path | str) -> str:
        """sha256 of a file's content, or of a folder's sorted list of (relative name, sha256).

        The name and place of `path` do not matter. Links are followed.

        Raises:
            UserError: it is missing or unreadable, or contains other things than files and folders.
        """
        top = os.path.realpath(path)
        try:
            return self._digest_of(top)
        except OSError as error:
            raise UserError(f"{error.filename or path}: {error.strerror or error}") from error

    def digests_in(self, folder: Path | str) -> dict[str, str]:
        """Relative path with `/` -> sha256 of all files below a folder; links are followed.

        Raises:
            UserError: it is missing or unreadable, or contains other things than files and folders.
        """
        top = os.path.realpath(folder)
        started = time.time_ns()
        try:
            entries = sorted(scan(top))
            hashes = self._hash(entries, self._cache_of(top, "files"), started)
        except OSError as error:
            raise UserError(f"{error.filename or folder}: {error.strerror or error}") from error
        return {name: sha256 for (name, _, _), sha256 in zip(entries, hashes, strict=True)}

    def _cache_of(self, top: str, ending: str) -> Path:
        return self.folder / f"{sha256_bytes(os.fsencode(top))[:32]}.{ending}"

    def _digest_of(self, top: str) -> str:
        started = time.time_ns()
        entries = sorted(scan(top))
        fingerprint = _fingerprint(entries)
        head = self._cache_of(top, "head")
        if (known := read_derived(head, HEAD)) and known[0] == fingerprint:
            return str(known[1])
        hashes = self._hash(entries, self._cache_of(top, "files"), started)
        result = hashes[0] if os.path.isfile(top) else digest(_listing(entries, hashes))
        if all(_is_settled(state, started) for _, _, state in entries):
            write_sealed(head, json.dumps([fingerprint, result]).encode())
        return result

    def _hash(self, entries: list[Entry], cache: Path, started: int) -> list[str]:
        """sha256 of all entries; only files that are not in the cache are read."""
        rows = read_derived(cache, [ROW]) or []
        remembered = {(name, *state): sha256 for name, state, sha256 in rows}
        known = {name: remembered.get((name, *state)) for name, _, state in entries}
        unknown = [(name, path) for name, path, _ in entries if known[name] is None]
        with pool_of(WORKERS) as pool:
            fresh = pool.map(sha256_file, (path for _, path in unknown))
            known.update(zip((name for name, _ in unknown), fresh, strict=True))
        if unknown:
            rows = [
                (name, state, known[name])
                for name, _, state in entries
                if _is_settled(state, started)
            ]
            write_sealed(cache, json.dumps(rows).encode())
        return [str(known[name]) for name, _, _ in entries]


def scan(top: str) -> Iterator[Entry]:
    """All files at or below `top`: relative name with `/`, path and state. Links are followed.

    Raises:
        UserError: links form a cycle, or an entry is neither a file nor a folder.
    """
    found = os.stat(top)
    if stat.S_ISDIR(found.st_mode):
        yield from _scan_folder(top, "", ((found.st_dev, found.st_ino),))
    elif stat.S_ISREG(found.st_mode):
        yield "", top, _state(found)
    else:
        raise UserError(f"{top}: neither a file nor a folder")


def _scan_folder(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[Entry]:
    with os.scandir(folder) as entries:
        for entry in entries:
            found = entry.stat()
            if stat.S_ISREG(found.st_mode):
                yield prefix + entry.name, entry.path, _state(found)
            elif stat.S_ISDIR(found.st_mode):
                here = (found.st_dev, found.st_ino)
                if here in above:
                    raise UserError(f"{entry.path}: links form a cycle")
                yield from _scan_folder(entry.path, f"{prefix}{entry.name}/", (*above, here))
            else:
                raise UserError(f"{entry.path}: neither a file nor a folder")


def _state(found: os.stat_result) -> State:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _is_settled(state: State, started: int) -> bool:
    return max(state[1], state[2]) < started - SETTLED_NS


def _fingerprint(entries: list[Entry]) -> str:
    text = "\0".join(f"{name}\0{state}" for name, _, state in entries)
    return hashlib.sha256(os.fsencode(text)).hexdigest()


def _listing(entries: list[Entry], hashes: list[str]) -> list[list[str]]:
    return [[entry[0], sha256] for entry, sha256 in zip(entries, hashes, strict=True)]
