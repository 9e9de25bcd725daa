"""A training run's log: a CSV for people and TensorBoard events beside it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter

FILE = "log.csv"


class TrainingLog:
    """Appends one row per logged step to `log.csv` in `folder`.

    Resuming at a step drops the rows from that step on, so that no step is logged twice.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        self._path = folder / FILE
        self._columns: list[str] = []
        if self._path.exists():
            self._keep_before(start_step)
        self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=start_step)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of one step; every row has the columns of the first."""
        if not self._columns:
            self._columns = ["step", *values]
            self._append(self._columns)
        self._append([step, *(f"{values[name]:.6g}" for name in self._columns[1:])])
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def close(self) -> None:
        self._events.close()

    def _append(self, row: list) -> None:
        with self._path.open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def _keep_before(self, start_step: int) -> None:
        with self._path.open(newline="") as file:
            rows = list(csv.reader(file))
        self._columns = rows[0]
        kept = [rows[0], *(row for row in rows[1:] if int(row[0]) < start_step)]
        with self._path.open("w", newline="") as file:
            csv.writer(file).writerows(kept)
