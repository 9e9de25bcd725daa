"""An index of all actions, so that not every record is read. It may be deleted at any time."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unidet.store.derived import read_derived
from unidet.store.disk import entries, write_sealed
from unidet.store.paths import is_digest
from unidet.store.record import Action
from unidet.store.stat_cache import SETTLED_NS

Row = list[str]  # finished, key, stage
GROUPS = {str: (int, [(str, str, str)])}  # name of a folder -> its time, its rows


def newest_first(
    actions: Path, cache: Path, read: Callable[[Path], Action | None], stage: str | None = None
) -> Iterator[Path]:
    """Paths of the readable records of a stage, or of all stages, newest first.

    Adding or removing a record changes the modification time of its folder. Only folders with a new
    modification time are read again.
    """
    known: dict[str, Any] = read_derived(cache, GROUPS) or {}
    groups: dict[str, tuple[int, list[Row]]] = {}
    now = time.time_ns()
    for folder in entries(actions):
        if len(folder.name) != 2:
            continue
        state = os.lstat(folder)
        if not stat.S_ISDIR(state.st_mode):
            continue
        changed = state.st_mtime_ns
        kept = known.get(folder.name)
        if kept is None or kept[0] != changed or not _are_of(folder.name, kept[1]):
            kept = (changed, _rows(folder, read))
        rows = kept[1]
        groups[folder.name] = (changed, rows)
    settled = {name: list(group) for name, group in groups.items() if group[0] < now - SETTLED_NS}
    if settled != known:
        write_sealed(cache, json.dumps(settled).encode())
    rows = (row for _, rows in groups.values() for row in rows if stage in (None, row[2]))
    return (actions / key[:2] / f"{key}.json" for _, key, _ in sorted(rows, reverse=True))


def _rows(folder: Path, read: Callable[[Path], Action | None]) -> list[Row]:
    records = (read(path) for path in entries(folder) if path.suffix == ".json")
    return [[one.finished, one.key, one.stage] for one in records if one is not None]


def _are_of(folder: str, rows: list[Row]) -> bool:
    """Whether rows name records of this folder; the index may be of another machine."""
    return all(is_digest(key) and key.startswith(folder) for _, key, _ in rows)
