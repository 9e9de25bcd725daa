"""Chooses what `unidet gc` drops, and in which order. Nothing is changed here (see gc.py)."""

from __future__ import annotations

import heapq
import os
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unidet.errors import UserError
from unidet.store import live
from unidet.store.disk import entries
from unidet.store.paths import Layout, is_digest
from unidet.store.pins import pinned, pins
from unidet.store.provenance import utc
from unidet.store.record import Action
from unidet.store.runs import count_unreadable
from unidet.store.store import LaterRecord, Store

LEAST_SECONDS = 1e-3  # lower limit of the compute time that bytes are divided by


@dataclass(frozen=True)
class Drop:
    """An artefact to drop; `frees` is the number of bytes that only it uses at that point."""

    action: Action
    frees: int


@dataclass(frozen=True)
class Plan:
    """Drops in order, bytes of content before and after them, and the number of other artefacts.

    Content that several artefacts share is counted once. `unread` is the number of requests in the
    log of runs that cannot be read, so that they do not count for `keep_last`.
    """

    drops: tuple[Drop, ...]
    before: int
    after: int
    stay: int
    unread: int


def plan(store: Store, max_bytes: int | None = None, keep_last: int | None = None) -> Plan:
    """Choose what to drop.

    Always kept are pins, artefacts in use by running processes, the `keep_last` most recently
    requested artefacts of each stage, and the inputs of all these. Without `max_bytes` all others
    are dropped; with it, as many as needed for the content to fit, those with the most bytes per
    second of compute time first. An artefact is dropped only after all that were made from it. With
    neither limit nothing is dropped.

    Raises:
        UserError: a record cannot be read, or one that must stay is gone, so it is not known what
            it needs.
    """
    records = records_of(store)
    if keep_last is None:
        keep_last = 1
        droppable = max_bytes is not None
    else:
        droppable = True
    roots = protected_roots(store.layout) | set(_latest(store, records, keep_last))
    kept = set(records)
    if droppable:
        kept = closure(roots, records)
        _require_records(store, kept, records)
    content = _Content(records.values())
    drops = tuple(_choose(records, kept, content, max_bytes))
    before = content.total + sum(drop.frees for drop in drops)
    unread = count_unreadable(store.layout.runs)
    return Plan(drops, before, content.total, len(records) - len(drops), unread)


def records_of(store: Store) -> dict[str, Action]:
    """All records by key.

    Raises:
        UserError: a record cannot be read, so it is not known what it needs.
    """
    found, unread = read_records(store)
    for error in unread.values():
        raise error
    return found


def read_records(store: Store) -> tuple[dict[str, Action], dict[str, UserError]]:
    """All records by key, and why others, by the key in their name, cannot be read."""
    found, unread = {action.key: action for action in store.actions()}, dict[str, UserError]()
    groups = [path for path in entries(store.layout.actions) if path.is_dir()]
    for path in (path for group in groups for path in entries(group) if path.suffix == ".json"):
        if path.stem not in found and is_digest(path.stem):
            try:
                action = store.read(path)
            except LaterRecord as error:
                unread[path.stem] = error
                continue
            if action is not None:
                found[action.key] = action
            elif os.path.lexists(path):
                unread[path.stem] = UserError(
                    f"record {path.name[:12]}… of store {store.root} cannot be read, so what it "
                    f"needs is not known; run: unidet verify --repair"
                )
    return found, unread


def _require_records(store: Store, kept: set[str], records: Mapping[str, Action]) -> None:
    """Nothing is dropped while it is not known what a lost artefact, which is to stay, was made of.

    Raises:
        UserError: a pinned artefact, or one that a kept one was made from, has no record any more.
    """
    unknown = "has no record any more: what it needs is not known; make or fetch it again, or run"
    for mark in pins(store.layout):
        if not mark.output or mark.key in records:  # what cannot be read may never have been a pin
            continue
        key = mark.key[:12]
        raise UserError(f"store {store.root}: pinned artefact {key} {unknown}: unidet unpin {key}")
    for action in (records[key] for key in sorted(kept)):
        for name, key in action.inputs.items():
            if key not in records:
                output = action.output[:12]
                raise UserError(
                    f"store {store.root}: {name}, of which {action.label} {output} was made, "
                    f"{unknown}: unidet rm {output}"
                )


def protected_roots(layout: Layout) -> set[str]:
    """Keys that are pinned or used by a running process."""
    return pinned(layout) | live.used(layout.runs)


def closure(roots: Iterable[str], records: Mapping[str, Action]) -> set[str]:
    """`roots` and all their direct and indirect inputs, as far as there are records."""
    found: set[str] = set()
    pending = list(roots)
    while pending:
        key = pending.pop()
        if key in records and key not in found:
            found.add(key)
            pending.extend(records[key].inputs.values())
    return found


def obstacles(store: Store, action: Action) -> list[str]:
    """Reasons why an artefact may not be removed on its own; empty if it may."""
    layout = store.layout
    found = ["it is pinned"] if action.key in pinned(layout) else []
    if action.key in live.used(layout.runs):
        found.append("a running process uses it")
    others = [one for one in records_of(store).values() if action.key in one.inputs.values()]
    return [*found, *(f"{one.label} {one.output[:12]} was made from it" for one in others)]


def _latest(store: Store, records: Mapping[str, Action], count: int) -> Iterable[str]:
    """The `count` most recently requested keys of each stage and dataset.

    The order is that of the log, into which commands write what they ask for and what they fetch.
    A record that the log does not name (another store pushed it, or the log is lost) counts as
    requested when it was written here. The times of other records are not used: a copy of the store
    may give all of them the time of the copying, and the clock may have been changed. Nor are times
    in records, which may be of another machine's clock.
    """
    runs = [run for run in store.runs() if run.key in records][::-1]
    times = sorted(run.time for run in runs)
    last: dict[str, int] = {}
    by_node: dict[tuple[str, str], dict[str, tuple[int, str, str]]] = {}
    for place, run in enumerate(runs, start=1):
        last[run.key] = place
        # A renamed dataset is requested by another name than its artefact was made for.
        by_node.setdefault((run.stage, run.name), {})[run.key] = (place, "", "")
    for key, action in records.items():
        came = "" if key in last else _arrived(store.layout.record(key))
        place = last.get(key, bisect_right(times, came))
        by_node.setdefault((action.stage, action.name), {})[key] = (place, came, action.finished)
    for places in by_node.values():
        yield from sorted(places, key=lambda key: (*places[key], key), reverse=True)[:count]


def _arrived(record: Path) -> str:
    """When a record was written to this store, UTC in ISO 8601; empty for a time in the future.

    A time in the future means that the clock was wrong.
    """
    try:
        written = os.lstat(record).st_mtime
    except FileNotFoundError:
        return ""
    return utc(written) if written <= time.time() else ""


class _Content:
    """For each blob, the remaining artefacts that contain it."""

    def __init__(self, actions: Iterable[Action]) -> None:
        self.users: dict[str, set[str]] = {}
        self.total = 0
        for action in actions:
            for sha256, size in blobs_of(action).items():
                self.total += 0 if sha256 in self.users else size
                self.users.setdefault(sha256, set()).add(action.key)

    def alone(self, action: Action) -> int:
        """Bytes of blobs that no other artefact contains."""
        return sum(size for sha, size in blobs_of(action).items() if len(self.users[sha]) == 1)

    def drop(self, action: Action) -> tuple[int, set[str]]:
        """Remove an artefact: bytes freed, and keys that are now the only users of shared blobs."""
        frees = self.alone(action)
        self.total -= frees
        heirs: set[str] = set()
        for sha256 in blobs_of(action):
            self.users[sha256].discard(action.key)
            if len(self.users[sha256]) == 1:
                heirs |= self.users[sha256]
        return frees, heirs


def blobs_of(action: Action) -> dict[str, int]:
    """sha256 -> size in bytes of an artefact's blobs."""
    return {file.sha256: file.size for file in action.files.values()}


def _choose(
    records: Mapping[str, Action], kept: set[str], content: _Content, max_bytes: int | None
) -> Iterable[Drop]:
    """Artefacts without dependents, those with the most bytes per compute second first."""
    users = Counter(key for one in records.values() for key in set(one.inputs.values()))

    def price(key: str) -> tuple[float, str]:
        one = records[key]
        return (-content.alone(one) / max(one.seconds, LEAST_SECONDS), key)

    open_now = {key for key in records if key not in kept and not users[key]}
    heap = [price(key) for key in open_now]
    heapq.heapify(heap)
    while heap and (max_bytes is None or content.total > max_bytes):
        _, key = entry = heapq.heappop(heap)
        if key not in open_now or entry != price(key):
            continue  # already dropped, or pushed again with a new price
        open_now.discard(key)
        frees, heirs = content.drop(records[key])
        yield Drop(records[key], frees)
        for upstream in set(records[key].inputs.values()):
            users[upstream] -= 1
            if upstream in records and upstream not in kept and not users[upstream]:
                open_now.add(upstream)
                heapq.heappush(heap, price(upstream))
        for heir in heirs & open_now:
            heapq.heappush(heap, price(heir))
