"""Reads every blob and record again and names whatever is not as it should be."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from unidet.store.disk import files_below
from unidet.store.hashing import key_of, sha256_file
from unidet.store.ingest import has_blob
from unidet.store.paths import check_digest
from unidet.store.record import Action, from_bytes
from unidet.store.store import Store

WORKERS = 8


@dataclass(frozen=True)
class Problem:
    """Something wrong with one file.

    Attributes:
        kind: `altered` (a blob with other content), `missing` (a blob), `damaged` (a record) or
            `unexpected` (a file that the store did not put there).
        path: relative to the folder of the store.
        detail: what is wrong, and which artefacts it touches.
    """

    kind: str
    path: str
    detail: str


@dataclass(frozen=True)
class Findings:
    """How much was read, and every problem, in order of path."""

    blobs: int
    records: int
    problems: tuple[Problem, ...]


def verify(store: Store) -> Findings:
    """Check the whole store; changes nothing and takes as long as reading it."""
    base = store.layout.base
    blobs = sorted(files_below(base / "blobs"))
    records = sorted(files_below(store.layout.actions))
    found: list[Problem] = []
    users: dict[str, list[str]] = {}
    for path in records:
        action = _record(path, store, found)
        if action is not None:
            found += _missing(action, store)
            for name, file in action.files.items():
                users.setdefault(file.sha256, []).append(f"{action.label}/{name}")
    with ThreadPoolExecutor(WORKERS) as pool:
        checked = pool.map(lambda path: _blob(path, store, users), blobs)
        found += [problem for problem in checked if problem is not None]
    unique = {(one.kind, one.path): one for one in reversed(found)}
    ordered = sorted(unique.values(), key=lambda one: (one.path, one.kind))
    return Findings(len(blobs), len(records), tuple(ordered))


def _missing(action: Action, store: Store) -> Iterator[Problem]:
    for name, file in action.files.items():
        blob = store.layout.blob(file.sha256)
        if not has_blob(blob, file.size):
            kind = "altered" if blob.exists() else "missing"
            detail = f"{action.label}/{name} should have {file.size} bytes"
            yield Problem(kind, _relative(blob, store.layout.base), detail)


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()


def _record(path: Path, store: Store, found: list[Problem]) -> Action | None:
    """The record at `path`; where it is none, the reason goes to `found`."""
    where = _relative(path, store.layout.base)
    key = path.parent.stem if path.parent.suffix == ".differs" else path.stem
    if path.is_symlink() or path not in _places(key, path, store):
        found.append(Problem("unexpected", where, "not a place where a record lies"))
        return None
    try:
        action = from_bytes(path.read_bytes())
        if action.key != key or key_of(action.preimage) != key:
            raise ValueError("its key is not that of its preimage")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        found.append(Problem("damaged", where, str(error)))
        return None
    # Of another result for the same key only the record is kept on purpose.
    return action if path == store.layout.record(key) else None


def _places(key: str, path: Path, store: Store) -> Iterator[Path]:
    try:
        yield store.layout.record(check_digest(key))
        yield store.layout.differing(key) / f"{check_digest(path.stem)}.json"
    except ValueError:
        return


def _blob(path: Path, store: Store, users: dict[str, list[str]]) -> Problem | None:
    where = _relative(path, store.layout.base)
    try:
        expected = store.layout.blob(path.name)
    except ValueError:
        return Problem("unexpected", where, "its name is no digest")
    if path != expected or not stat.S_ISREG(path.lstat().st_mode):
        return Problem("unexpected", where, "not a place where a blob lies, or no plain file")
    if sha256_file(path) == path.name:
        return None
    used = ", ".join(users.get(path.name, ["no artefact"]))
    return Problem("altered", where, f"its content is not what was stored; used by {used}")
