"""Reads any known log as a run: a name for the legend and a table."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from unidet.counts import counted
from unidet.errors import UserError
from unidet.report.logs import detr, mmdet, nanodet, own
from unidet.report.logs.log_lines import KNOWN, LogText, read_text
from unidet.report.logs.rows import Rows


class Format(Protocol):
    """Interface of the modules for log formats."""

    NAME: str

    def recognises(self, log: LogText) -> bool: ...

    def read(self, log: LogText) -> Rows: ...


FORMATS: tuple[Format, ...] = (own, detr, nanodet, mmdet)
# Names searched in a folder, in this order: mmdet's text log is more complete than its JSON.
_IN_FOLDERS = (
    *("log.csv", "log.txt", "logs.txt", "logs-*/logs.txt"),
    *("vis_data/scalars.json", "*/vis_data/scalars.json", "*.log", "*.log.json"),
)
# File and folder names without information about the run: mmdet's and nanodet's are timestamps.
_PLAIN = re.compile(r"logs?|scalars|vis_data|(logs-)?[\d_-]{8,}")
_NOTHING = re.compile("")


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        name: for legends.
        kind: name of the log's format.
        table: columns split ("train" or "val"), epoch, step, and one per logged quantity, among
            them loss, lr, AP, AP50; NaN if it was not logged.
        replaced: number of rows that a resumed run wrote again.
        cut_off: number of incomplete lines at the end.
        guessed_epoch: assumed steps per epoch; 0 if the log contains the number.
    """

    name: str
    kind: str
    table: pd.DataFrame
    replaced: int = 0
    cut_off: int = 0
    guessed_epoch: int = 0


def read_runs(places: Sequence[str | Path], names: Sequence[str] = ()) -> list[Run]:
    """Reads logs, given as files or as folders with one log.

    Args:
        names: one per run; by default the shortest ends of their paths that differ.

    Raises:
        UserError: a log is missing, unknown, empty or given twice, or the names do not match.
    """
    paths = logs_at(places)
    twice = [path for index, path in enumerate(paths) if path in paths[:index]]
    if twice:
        raise UserError(f"{twice[0]} is given twice; every run is drawn once")
    if names and (len(names) != len(paths) or len(set(names)) != len(names)):
        given = f"{counted(len(names), 'name')} for {counted(len(paths), 'run')}"
        raise UserError(f"{given}; give each run its own")
    labels = names or short_names(paths)
    return [_read(path, name) for path, name in zip(paths, labels, strict=True)]


def _read(path: Path, name: str) -> Run:
    log = read_text(path)
    kind = _format_of(log)
    rows = kind.read(log)
    table = rows.table()
    if table.empty:
        raise log.error(
            len(log.lines) - 1,
            f"the log of {kind.NAME} ends before its first complete row; try again once it has one",
        )
    return Run(name, kind.NAME, table, rows.replaced, rows.cut_off, rows.guessed_epoch)


def _format_of(log: LogText) -> Format:
    for kind in FORMATS:
        if kind.recognises(log):
            return kind
    first = next(index for index, line in enumerate(log.lines) if line.strip())
    begin = log.lines[first].strip()
    shown = begin if len(begin) <= 40 else begin[:40] + "…"
    raise log.error(first, f"{shown!r} begins no known log; known are {KNOWN}")


def logs_at(places: Sequence[str | Path]) -> list[Path]:
    """The log files; UserError if a folder contains none, or several."""
    return [_log_of(Path(place)) for place in places]


def _log_of(place: Path) -> Path:
    """The log file, or the one in a folder."""
    if not place.is_dir():
        return place
    for pattern in _IN_FOLDERS:
        logs = sorted(place.glob(pattern))
        if len(logs) == 1:
            return logs[0]
        if logs:
            shown = ", ".join(str(path.relative_to(place)) for path in logs[:4])
            raise UserError(f"{place} holds {len(logs)} logs ({shown}); name the one to draw")
    raise UserError(f"{place} holds no log; looked for {', '.join(_IN_FOLDERS)}")


def short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that differ.

    `a/first/log.csv` and `a/second/log.csv` become "first" and "second". Dates and times are part
    of a name only if the runs do not differ otherwise.
    """
    for plain, whole in ((_PLAIN, False), (_NOTHING, False), (_NOTHING, True)):
        paths_parts = [_parts(path, whole) for path in paths]
        parts = [[part for part in of_path if not plain.fullmatch(part)] for of_path in paths_parts]
        while len(parts) > 1 and min(map(len, parts)) > 1 and len({end[-1] for end in parts}) == 1:
            parts = [end[:-1] for end in parts]
        for length in range(1, max(map(len, parts)) + 1):
            names = ["/".join(end[-length:]) for end in parts]
            if len(set(names)) == len(names) and all(names):
                return names
    return [str(path) for path in paths]


def _parts(path: Path, whole: bool) -> list[str]:
    """Folders, then the file's name, complete (`whole`) or up to its first dot."""
    full = Path(os.path.realpath(path))  # handles links that lead to themselves
    return [*full.parent.parts[1:], full.name if whole else full.name.split(".")[0]]
