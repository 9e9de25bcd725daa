"""Reads all blobs and records of a store and reports problems."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unidet.counts import counted
from unidet.store import accepted, runs
from unidet.store.disk import read_plain
from unidet.store.hashing import sha256_file
from unidet.store.ingest import has_blob
from unidet.store.paths import check_digest, is_digest
from unidet.store.places import linked_folders, no_folders
from unidet.store.record import Action, LaterFormat, record_of
from unidet.store.store import Store
from unidet.store.threads import pool_of
from unidet.store.walking import files_below

WORKERS = 8
_GROUPS = ("blobs", "actions", "locks", "refs")
_FOLDER = re.compile(
    r"blobs/sha256(/[0-9a-f]{2})?|actions/[0-9a-f]{2}(/[0-9a-f]{64}\.differs)?"
    r"|refs/(pins|runs|accepted(/[a-z][a-z0-9_]*)?)"
)
_RECORD = re.compile(r"actions/[0-9a-f]{2}/[0-9a-f]{64}\.json")
_FILE = re.compile(
    rf"{_RECORD.pattern}|locks/[^/]+\.(lock|owner)|refs/accepted/[a-z][a-z0-9_]*/[0-9a-f]{{64}}\.json"
)
_BLOB = re.compile(r"blobs/sha256/[0-9a-f]{2}/[0-9a-f]{64}")


@dataclass(frozen=True)
class Problem:
    """A problem with one file.

    Attributes:
        kind: `altered` (a blob with other content, or a folder in its place), `missing` (a blob),
            `damaged` (a record, a log of runs, a declaration, or something else in its place or in
            that of a folder),
            `unreadable` (cannot be checked) or `unexpected` (not written by the store).
        path: relative to the folder of the store.
        detail: what is wrong, and which artefacts are affected.
    """

    kind: str
    path: str
    detail: str


@dataclass(frozen=True)
class Findings:
    """Number of blobs and records that were read, and all problems, sorted by path."""

    blobs: int
    records: int
    problems: tuple[Problem, ...]


def verify(store: Store) -> Findings:
    """Check the whole store. This changes nothing and takes as long as reading it."""
    base = store.layout.base
    found: list[Problem] = []

    def unlisted(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            found.append(_unreadable(_relative(Path(error.filename), base), error))

    linked = [_relative(path, base) for path in linked_folders(base)]  # anywhere: not followed
    found += [Problem("unexpected", where, "a link, where a folder belongs") for where in linked]
    taken = {_relative(path, base) for path in no_folders(base)}
    found += [Problem("damaged", where, "not a folder, where one belongs") for where in taken]
    odd = _odd(base, [name for name in _GROUPS if name not in (*linked, *taken)], unlisted)
    found += [problem for problem in odd if problem.path not in taken]
    passed = {base / problem.path for problem in found}
    blobs = _files(base / "blobs", passed, unlisted)
    records = _files(store.layout.actions, passed, unlisted)
    found += _unread_runs(store, passed, unlisted)
    found += _unread_declarations(store, passed, unlisted)
    actions = [one for one in (_record(path, store, found) for path in records) if one is not None]
    users: dict[str, list[str]] = {}
    for action in actions:
        for name, file in action.files.items():
            users.setdefault(file.sha256, []).append(f"{action.label}/{name}")
    with pool_of(WORKERS) as pool:
        checked = pool.map(lambda path: _blob(path, store, users), blobs)
        found += [problem for problem in checked if problem is not None]
    altered = {problem.path for problem in found} - taken
    found += [problem for action in actions for problem in _missing(action, store, altered)]
    unique = {(one.kind, one.path): one for one in reversed(found)}
    ordered = sorted(unique.values(), key=lambda one: (one.path, one.kind))
    return Findings(len(blobs), len(records), tuple(ordered))


def _files(folder: Path, passed: set[Path], unlisted: Callable[[OSError], None]) -> list[Path]:
    """Files and links below a folder, sorted, except what is at or below a path in `passed`."""
    found = files_below(folder, unlisted) if passed.isdisjoint((folder, *folder.parents)) else []
    return sorted(path for path in found if passed.isdisjoint((path, *path.parents)))


def _unread_runs(
    store: Store, passed: set[Path], unlisted: Callable[[OSError], None]
) -> Iterator[Problem]:
    """Files of the log of runs with lines that are no requests."""
    folder = store.layout.runs
    if not passed.isdisjoint((folder, *folder.parents)):
        return
    try:
        for path in runs.logs(folder):
            if path in passed:
                continue
            where = _relative(path, store.layout.base)
            try:
                if lines := runs.unreadable(path):
                    count = counted(len(lines), "line")
                    detail = f"{count} cannot be read; gc --keep-last does not count these requests"
                    yield Problem("damaged", where, detail)
            except FileNotFoundError:
                continue
            except ValueError as error:  # too large for a log
                yield Problem("unexpected", where, str(error))
    except OSError as error:
        unlisted(error)


def _unread_declarations(
    store: Store, passed: set[Path], unlisted: Callable[[OSError], None]
) -> Iterator[Problem]:
    """Declarations that changed code is equivalent, which are none any more."""
    for path in _files(store.layout.accepted, passed, unlisted):
        if path.suffix == ".json":
            where = _relative(path, store.layout.base)
            try:
                accepted.read(path)
            except FileNotFoundError:  # one has just been revoked
                continue
            except OSError as error:
                yield _unreadable(where, error)
            except ValueError as error:
                detail = f"{error!s:.80}; the stage runs again, unless `unidet accept` is repeated"
                yield Problem("damaged", where, detail)


def _missing(action: Action, store: Store, altered: set[str]) -> Iterator[Problem]:
    """Missing content of an artefact; if it exists with its hash, the record's size is wrong.

    `altered`: paths with problems that are reported already.
    """
    base, own = store.layout.base, store.layout.record(action.key)
    for name, file in action.files.items():
        blob = store.layout.blob(file.sha256)
        where = _relative(blob, base)
        if {where, _relative(blob.parent, base)} & altered:
            continue
        try:
            if has_blob(blob, file.size):
                continue
        except PermissionError:  # its folder may not be entered, and is named
            continue
        detail = f"{action.label}/{name} should have {file.size} bytes"
        if os.path.lexists(blob):
            yield Problem("damaged", _relative(own, base), f"{detail} and its content has others")
        elif own.exists():  # else a concurrent clean-up has dropped both
            yield Problem("missing", where, detail)


def _odd(base: Path, groups: list[str], unlisted: Callable[[OSError], None]) -> Iterator[Problem]:
    """Entries that are neither plain files nor folders of the store, except blobs and records.

    `base` holds no files in place of the folders `groups`.
    """
    for group in groups:
        for place, folders, names in os.walk(base / group, onerror=unlisted):
            inside = [Path(place, name) for name in folders]
            odd = [path for path in inside if not _FOLDER.fullmatch(_relative(path, base))]
            folders[:] = [path.name for path in inside if path not in odd]
            for path in odd:
                where, what = _relative(path, base), "link" if path.is_symlink() else "folder"
                yield Problem(_kind(path, where), where, f"a {what}, where none belongs")
            for name in names if group not in ("actions", "blobs") else ():
                path = Path(place, name)
                where = _relative(path, base)
                with suppress(FileNotFoundError):  # files of other processes come and go
                    if not stat.S_ISREG(path.lstat().st_mode):
                        yield Problem("unexpected", where, "not a plain file")
                    elif where.startswith("refs/pins/") and not is_digest(name):
                        yield Problem("unexpected", where, "its name is no digest: no pin")


def _kind(folder: Path, where: str) -> str:
    """The kind of problem that a folder or a link to one is, where none belongs."""
    for kind, place in (("damaged", _FILE), ("altered", _BLOB)):
        if place.fullmatch(where) and not folder.is_symlink():
            return kind
    return "unexpected"


def _unreadable(where: str, error: OSError) -> Problem:
    return Problem("unreadable", where, f"cannot be read ({error.strerror})")


def _relative(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()


def _record(path: Path, store: Store, found: list[Problem]) -> Action | None:
    """The record at `path`; if it is not valid, a problem is added to `found`."""
    where = _relative(path, store.layout.base)
    key = path.parent.stem if path.parent.suffix == ".differs" else path.stem
    if path not in _places(key, path, store):
        found.append(Problem("unexpected", where, "not a place where a record lies"))
        return None
    try:
        action = record_of(key, read_plain(path))
    except FileNotFoundError:  # a concurrent clean-up has dropped it
        return None
    except PermissionError as error:
        found.append(_unreadable(where, error))
        return None
    except LaterFormat as error:
        found.append(Problem("unreadable", where, str(error)))
        return None
    except (OSError, ValueError) as error:
        found.append(Problem("damaged", where, str(error)))
        return None
    # Records of other results for the same key are kept without their content.
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
    wrong = "its content is not what was stored"
    try:
        if path != expected or not stat.S_ISREG(path.lstat().st_mode):
            return Problem("unexpected", where, "not a place where a blob lies, or no plain file")
        if sha256_file(path) == path.name:
            return None
    except FileNotFoundError:  # a concurrent clean-up has dropped it; see `_missing`
        return None
    except PermissionError as error:
        return _unreadable(where, error)
    except OSError as error:  # the disk failed
        wrong = f"cannot be read ({error.strerror})"
    used = ", ".join(users.get(path.name, ["no artefact"]))
    return Problem("altered", where, f"{wrong}; used by {used}")
