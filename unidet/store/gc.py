"""Drops artefacts in two phases: into the trash, and for good after a grace period.

This is safe at any time while other processes use the store, and it waits for none. After a record
or blob has been moved to the trash, it is checked again: if a record is needed by then, or a blob
is named by a record, it is restored. Publishing checks in the opposite order (ingest.py), and users
of an artefact mark it before they look it up (live.py).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from unidet.errors import UserError
from unidet.store import live, lock
from unidet.store.disk import (
    clear_errors,
    discard,
    make_folder,
    remove,
    sync,
    touch,
)
from unidet.store.gc_plan import closure, protected_roots, records_of
from unidet.store.ingest import link_back
from unidet.store.paths import check_digest
from unidet.store.places import linked_folders
from unidet.store.record import Action
from unidet.store.store import Store
from unidet.store.walking import files_below

GRACE_SECONDS = 3600.0
YOUNG_SECONDS = 60.0
_VIEW = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")


class Swept(NamedTuple):
    """What became of content that no record names, in bytes.

    Attributes:
        trashed: in the trash after the clean-up.
        freed: removed for good.
        waiting: too young to go into the trash.
    """

    trashed: int
    freed: int
    waiting: int


@contextmanager
def cleaning(store: Store) -> Iterator[None]:
    """Context that allows one clean-up at a time.

    Raises:
        UserError: another clean-up is running, a folder of the store is a link, or the store
            cannot be written.
    """
    artefacts = [store.layout.artefacts] if store.layout.artefacts.is_symlink() else []
    for link in (*artefacts, *linked_folders(store.layout.base)):
        raise UserError(
            f"{link} is a link, and a clean-up would remove files where it leads; put a folder in "
            "its place"
        )
    path = store.layout.gc_lock

    def refuse(owner: lock.Owner | None) -> None:
        who = owner or "it has just started"
        raise UserError(f"another clean-up is running in store {store.root}: {who}; wait for it")

    with clear_errors(store.root):
        make_folder(path.parent)
        held = lock.acquire(path, waiting=refuse)
        try:
            yield
        finally:
            lock.release(held)


def drop(store: Store, actions: Iterable[Action]) -> list[Action]:
    """Move records to the trash and remove their folders; returns those that were dropped.

    A record that has come into use meanwhile stays. `sweep` removes the content.
    """
    taken = [action for action in actions if _drop_record(store, action.key)]
    restored = _restore_needed(store)
    _remove_views(store)
    return [action for action in taken if action.key not in restored]


def _drop_record(store: Store, key: str) -> bool:
    """Move one record to the trash unless it has come into use; returns whether it was moved.

    This holds the lock of the key, so that a process that looks it up meanwhile does not start to
    compute.
    """
    layout = store.layout
    with _if_free(layout.lock(key)) as free:
        if not free or key in protected_roots(layout):
            return False
        if not _move_to_trash(layout.record(key), layout.dropped_records):
            return False
        if key in protected_roots(layout):
            _restore(layout.dropped_records / f"{key}.json", layout.record(key))
            return False
    return True


@contextmanager
def _if_free(path: Path) -> Iterator[bool]:
    """Hold a lock if it is free; yields whether it is held."""

    def give_up(owner: lock.Owner | None) -> None:
        raise BlockingIOError

    make_folder(path.parent)
    try:
        held = lock.acquire(path, waiting=give_up)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        lock.release(held)


def _restore_needed(store: Store) -> set[str]:
    """Restore records that are pinned, in use or inputs of others; returns their keys.

    The trash may also contain such records after a crash.
    """
    layout = store.layout
    dropped = (store.readable(path) for path in _digests(layout.dropped_records, ending=".json"))
    gone = {one.key: one for one in dropped if one is not None}
    records = records_of(store)
    needed = closure({*protected_roots(layout), *records}, gone | records)
    for key in needed & gone.keys():
        _restore(layout.dropped_records / f"{key}.json", layout.record(key))
    return needed & gone.keys()


def sweep(store: Store, grace: float = GRACE_SECONDS, young: float = YOUNG_SECONDS) -> Swept:
    """Move content that no record names to the trash; delete what has been there for `grace` s.

    Content that was written or touched in the last `young` seconds (or `grace`, if that is more) is
    kept, because its record may be about to be created.

    Raises:
        UserError: a record cannot be read, so it is not known what it names.
    """
    layout = store.layout
    before = time.time() - max(grace, young)
    named, waiting = _named(store), 0
    for blob in _digests(layout.blobs, "??/*"):
        # A folder of another name may be a link to files that are not the store's.
        if blob.name not in named and blob == layout.blob(blob.name):
            if _older(blob, before):
                _move_to_trash(blob, layout.dropped_blobs)
            else:
                waiting += _bytes(blob)
    named = _named(store)
    for dropped in _digests(layout.dropped_blobs):
        if dropped.name in named:
            _restore(dropped, layout.blob(dropped.name))
    freed = _purge(store, time.time() - grace)
    live.discard_abandoned(layout)
    return Swept(_bytes(layout.trash), freed, waiting)


def drop_unfinished(store: Store, seconds: float) -> int:
    """Remove work folders of interrupted runs not touched for `seconds`; returns their number.

    Work whose key a running process has locked or marked as used stays. The lock is held during the
    removal, so that no process starts to work in the folder meanwhile.
    """
    found = 0
    for work in unfinished(store, seconds):
        with _if_free(store.layout.lock(work.name)) as free:
            if free and work.name not in live.used(store.layout.runs):
                discard(work, store.layout.trash)
                found += 1
    return found


def unfinished(store: Store, seconds: float) -> Iterator[Path]:
    """Work folders of runs in which nothing was touched for `seconds`, of running processes too."""
    before = time.time() - seconds
    for work in _digests(store.layout.base / "work"):
        inside = files_below(work) if _is_folder(work) else ()
        if all(_older(path, before) for path in (work, *inside)):
            yield work


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _purge(store: Store, before: float) -> int:
    """Delete what was moved to the trash before the time `before`; returns the freed bytes."""
    layout = store.layout
    freed = 0
    for dropped in (*layout.dropped_records.glob("*"), *layout.dropped_blobs.glob("*")):
        if _dropped_before(dropped, before):
            freed += _bytes(dropped)
            remove(dropped)
    # Last, because removing one hard link of a file changes the ctime of the others.
    for path in layout.trash.glob("*"):
        if path not in (layout.dropped_records, layout.dropped_blobs) and _dropped_before(
            path, before
        ):
            freed += _bytes(path)
            discard(path, layout.trash)
    return freed


def _named(store: Store) -> set[str]:
    actions = records_of(store).values()
    return {file.sha256 for action in actions for file in action.files.values()}


def _move_to_trash(path: Path, folder: Path) -> bool:
    """Move a file to a folder of the trash with the time of now; returns whether it existed."""
    make_folder(folder)
    try:
        touch(path)
        os.replace(path, folder / path.name)
    except FileNotFoundError:
        return False
    sync(path.parent)
    return True


def _restore(dropped: Path, place: Path) -> None:
    """Move a file from the trash back to its place, unless a new one is there."""
    with suppress(FileExistsError):
        link_back(dropped, place)
        sync(place.parent)
    dropped.unlink(missing_ok=True)


def _remove_views(store: Store) -> None:
    """Remove folders of artefacts without a record, unless a user has added files to them."""
    layout = store.layout
    # List folders before records: a folder that is created later has an older record.
    folders = [path for path in layout.artefacts.glob("*") if _VIEW.fullmatch(path.name)]
    actions = records_of(store).values()
    known = {layout.artefact(action.stage, action.output).name for action in actions}
    for folder in folders:
        if folder.name not in known and not any(map(_is_user_file, files_below(folder))):
            discard(folder, layout.trash)


def _is_user_file(path: Path) -> bool:
    """Whether a user added the file: it is writable and not hidden, unlike the store's links."""
    return not path.name.startswith(".") and bool(os.lstat(path).st_mode & 0o222)


def _digests(folder: Path, pattern: str = "*", ending: str = "") -> Iterator[Path]:
    """Entries whose name is a digest with this ending; other files are not the store's."""
    for path in list(folder.glob(pattern + ending)):
        with suppress(ValueError):
            check_digest(path.name.removesuffix(ending))
            yield path


def _older(path: Path, before: float) -> bool:
    try:
        written = os.lstat(path).st_mtime
    except FileNotFoundError:
        return False
    return _known(path, written) <= before


def _dropped_before(dropped: Path, before: float) -> bool:
    """Whether a file was moved to the trash before this time, by its mtime and its ctime.

    Moving sets the ctime; the mtime of another user's file cannot be set.
    """
    try:
        state = os.lstat(dropped)
    except FileNotFoundError:
        return False
    return _known(dropped, max(state.st_mtime, state.st_ctime)) <= before


def _known(path: Path, written: float) -> float:
    """The time at which a file was written; now, where that lies in the future.

    The clock was wrong then. The file gets the time of now, or it would stay until that date.
    """
    now = time.time()
    if written <= now:
        return written
    touch(path)
    return now


def _bytes(path: Path) -> int:
    """Bytes that deleting `path` frees; files with other hard links do not count."""
    paths = files_below(path) if _is_folder(path) else [path]
    found = 0
    for one in paths:
        with suppress(FileNotFoundError):
            state = os.lstat(one)
            found += state.st_size if state.st_nlink == 1 else 0
    return found
