"""Drops artefacts in two phases: into the trash, and after a grace period for good.

Safe beside anything else that works with the store, at any moment and without waiting. What is
taken away is looked at once more after it is gone from its place: a record that is needed by then,
or a blob that a record names by then, comes back. Publishing looks the other way round (ingest.py),
and whoever uses an artefact marks it first and looks it up after that (live.py).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unidet.errors import UserError
from unidet.store import live, lock
from unidet.store.disk import clear_errors, discard, files_below, make_folder, sync, touch
from unidet.store.gc_plan import closure, protected_roots, records_of
from unidet.store.ingest import second_name
from unidet.store.paths import check_digest
from unidet.store.record import Action
from unidet.store.store import Store

GRACE_SECONDS = 3600.0
YOUNG_SECONDS = 60.0
_VIEW = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")


@contextmanager
def cleaning(store: Store) -> Iterator[None]:
    """One clean-up at a time.

    Raises:
        UserError: another one is at it, or the store cannot be written.
    """
    path = store.layout.gc_lock

    def refuse(owner: lock.Owner | None) -> None:
        who = owner or "it has just begun"
        raise UserError(f"another clean-up works on store {store.root}: {who}; wait for it")

    with clear_errors(store.root):
        make_folder(path.parent)
        held = lock.acquire(path, waiting=refuse)
        try:
            yield
        finally:
            lock.release(held)


def drop(store: Store, actions: Iterable[Action]) -> list[Action]:
    """Move records into the trash and remove their folders; those that did go.

    A record that somebody needs after all stays. Content goes with `sweep`.
    """
    taken = [action for action in actions if _drop_record(store, action.key)]
    restored = _restore_needed(store)
    _remove_views(store)
    return [action for action in taken if action.key not in restored]


def _drop_record(store: Store, key: str) -> bool:
    """Move one record into the trash unless somebody has begun to use it; whether it went.

    Under the lock of its key, so that who looks it up meanwhile does not begin to compute.
    """
    layout = store.layout
    with _if_free(layout.lock(key)) as free:
        if not free or key in protected_roots(layout):
            return False
        if not _into(layout.record(key), layout.dropped_records):
            return False
        if key in protected_roots(layout):
            _back(layout.dropped_records / f"{key}.json", layout.record(key))
            return False
    return True


@contextmanager
def _if_free(path: Path) -> Iterator[bool]:
    """Hold a lock that nobody holds; whether that went."""

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
    """Bring records back that are pinned, in use, or that something left was made from; their keys.

    The trash may hold such records after a crash too.
    """
    layout = store.layout
    dropped = (store.read(path) for path in _digests(layout.dropped_records, ending=".json"))
    gone = {one.key: one for one in dropped if one is not None}
    records = records_of(store)
    needed = closure({*protected_roots(layout), *records}, gone | records)
    for key in needed & gone.keys():
        _back(layout.dropped_records / f"{key}.json", layout.record(key))
    return needed & gone.keys()


def sweep(
    store: Store, grace: float = GRACE_SECONDS, young: float = YOUNG_SECONDS
) -> tuple[int, int]:
    """Content that nothing names: into the trash, and for good what is there for `grace` seconds.

    Content that was written or needed in the last `young` seconds, or `grace` if that is more, is
    left alone: its record may be on the way.

    Returns:
        bytes that are in the trash after this, bytes removed for good.

    Raises:
        UserError: a record cannot be read, so nobody knows what it names.
    """
    layout = store.layout
    before = time.time() - max(grace, young)
    named = _named(store)
    for blob in _digests(layout.blobs, "??/*"):
        if blob.name not in named and _older(blob, before):
            _into(blob, layout.dropped_blobs)
    named = _named(store)
    for dropped in _digests(layout.dropped_blobs):
        if dropped.name in named:
            _back(dropped, layout.blob(dropped.name))
    freed = _purge(store, time.time() - grace)
    live.discard_abandoned(layout)
    return _bytes(layout.trash), freed


def drop_unfinished(store: Store, seconds: float) -> int:
    """Remove work of interrupted runs that nobody touched for so long; how many.

    Work whose key a living process has locked or marked as used stays. It goes under its lock, so
    that nobody begins to work in it meanwhile.
    """
    before = time.time() - seconds
    found = 0
    for work in _digests(store.layout.base / "work"):
        if not all(_older(path, before) for path in (work, *files_below(work))):
            continue
        with _if_free(store.layout.lock(work.name)) as free:
            if free and work.name not in live.used(store.layout.runs):
                discard(work, store.layout.trash)
                found += 1
    return found


def _purge(store: Store, before: float) -> int:
    """Remove from the trash for good what nothing names and what has lain there long enough."""
    layout = store.layout
    freed = 0
    for dropped in (*layout.dropped_records.glob("*"), *layout.dropped_blobs.glob("*")):
        if _left(dropped, before):
            freed += _bytes(dropped)
            dropped.unlink(missing_ok=True)
    # After that, for to remove a second name of content gives it a new ctime.
    for path in layout.trash.glob("*"):
        if path not in (layout.dropped_records, layout.dropped_blobs) and _left(path, before):
            freed += _bytes(path)
            discard(path, layout.trash)
    return freed


def _named(store: Store) -> set[str]:
    actions = records_of(store).values()
    return {file.sha256 for action in actions for file in action.files.values()}


def _into(path: Path, folder: Path) -> bool:
    """Move a file into a folder of the trash, where its time starts now; whether it was there."""
    make_folder(folder)
    try:
        touch(path)
        os.replace(path, folder / path.name)
    except FileNotFoundError:
        return False
    sync(path.parent)
    return True


def _back(dropped: Path, place: Path) -> None:
    """Move a file out of the trash unless another one has taken its place."""
    with suppress(FileExistsError):
        second_name(dropped, place)
        sync(place.parent)
    dropped.unlink(missing_ok=True)


def _remove_views(store: Store) -> None:
    """Remove folders of artefacts that have no record any more; what somebody added stays."""
    layout = store.layout
    # Folders first: one that is made after this has a record, and the record is older.
    folders = [path for path in layout.artefacts.glob("*") if _VIEW.fullmatch(path.name)]
    actions = records_of(store).values()
    known = {layout.artefact(action.stage, action.output).name for action in actions}
    for folder in folders:
        if folder.name not in known and not any(map(_is_somebody_s, files_below(folder))):
            discard(folder, layout.trash)


def _is_somebody_s(path: Path) -> bool:
    """What the store links is read-only; hidden files that systems leave do not count."""
    return not path.name.startswith(".") and bool(os.lstat(path).st_mode & 0o222)


def _digests(folder: Path, pattern: str = "*", ending: str = "") -> Iterator[Path]:
    """What lies there under the name of a digest and this ending; nothing else is ours."""
    for path in list(folder.glob(pattern + ending)):
        with suppress(ValueError):
            check_digest(path.name.removesuffix(ending))
            yield path


def _older(path: Path, before: float) -> bool:
    try:
        return os.lstat(path).st_mtime <= before
    except FileNotFoundError:
        return False


def _left(dropped: Path, before: float) -> bool:
    """Whether something lies in the trash for so long: since its mtime or, later, its ctime.

    The move has set the latter; another user's file has no mtime that this one may set.
    """
    try:
        state = os.lstat(dropped)
    except FileNotFoundError:
        return False
    return max(state.st_mtime, state.st_ctime) <= before


def _bytes(path: Path) -> int:
    """Bytes that go with `path`: of content only what has no other name."""
    paths = [path] if path.is_file() else files_below(path)
    found = 0
    for one in paths:
        with suppress(FileNotFoundError):
            state = os.lstat(one)
            found += state.st_size if state.st_nlink == 1 else 0
    return found
