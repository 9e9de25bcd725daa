"""A training run's log: a CSV for people and TensorBoard events beside it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

FILE = "log.csv"
EVENTS = "tensorboard/events.out.tfevents.0"


class TrainingLog:
    """Appends one row per logged step to `log.csv` in `folder`.

    A run that resumes goes on behind the rows that its checkpoint has restored; one that starts
    anew drops what an earlier one has left.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        self._path = folder / FILE
        self._columns: list[str] = []
        if start_step == 0:
            self._path.unlink(missing_ok=True)
        elif self._path.exists():
            with self._path.open(newline="") as file:
                self._columns = next(csv.reader(file), [])
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


def content(folder: Path) -> bytes:
    """The CSV of a run so far."""
    path = folder / FILE
    return path.read_bytes() if path.exists() else b""


def restore(folder: Path, rows: bytes) -> None:
    """Make the CSV of a run what `content` has given, whatever has become of it."""
    draft = folder / f"{FILE}.draft"
    draft.write_bytes(rows)
    draft.replace(folder / FILE)


def keep_log(work: Path, out: Path) -> None:
    """Copy a finished run's log from its working folder; events as `write_events` makes them."""
    shutil.copyfile(work / FILE, out / FILE)
    write_events(out / FILE, out / EVENTS)


def write_events(log: Path, path: Path) -> None:
    """TensorBoard events of a `log.csv`, whose bytes depend on nothing else.

    TensorBoard's own writers put the time and the host into the file and its name; the same run
    would then never give the same artefact. Here the wall time is the step.
    """
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    path.parent.mkdir(parents=True)
    writer = RecordWriter(str(path))
    writer.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
    for row in rows:
        step = int(row.pop("step"))
        values = [Summary.Value(tag=name, simple_value=float(text)) for name, text in row.items()]
        event = Event(wall_time=float(step), step=step, summary=Summary(value=values))
        writer.write(event.SerializeToString())
    writer.close()
