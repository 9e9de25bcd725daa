"""A training run's log: a CSV for people and TensorBoard events beside it."""

from __future__ import annotations

import csv
import shutil
import struct
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import masked_crc32c

FILE = "log.csv"
EVENTS = "tensorboard/events.out.tfevents.0"


class TrainingLog:
    """Appends one row per logged step to `log.csv` in `folder`, and to the events beside it.

    A run that resumes goes on behind the rows that its checkpoint has restored; one that starts
    anew drops what an earlier one has left. Events are written here and now: TensorBoard's own
    writers do it in a thread, for which training waits without end where the disk is full.

    Attributes:
        rows: the whole CSV so far, whatever has become of the file meanwhile.

    Raises:
        OSError: the disk is full or fails.
    """

    def __init__(self, folder: Path, start_step: int) -> None:
        self._path = folder / FILE
        self._events = folder / EVENTS
        if start_step == 0:
            self._path.unlink(missing_ok=True)
            self._events.unlink(missing_ok=True)
        self.rows = bytearray(self._path.read_bytes() if self._path.exists() else b"")
        self._columns = next(csv.reader(self.rows.decode().splitlines()), [])
        if not self._events.is_file():  # but a pipe, for which training would wait
            self._events.unlink(missing_ok=True)
        self._events.parent.mkdir(exist_ok=True)
        start = SessionLog(status=SessionLog.START)  # hides the later steps of an earlier attempt
        self._tell(Event(file_version="brain.Event:2"), Event(step=start_step, session_log=start))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log the values of one step; every row has the columns of the first."""
        if not self._columns:
            self._columns = ["step", *values]
            self._append(self._columns)
        self._append([step, *(f"{values[name]:.6g}" for name in self._columns[1:])])
        self._tell(_scalars(step, values))

    def _append(self, row: list) -> None:
        text = StringIO()
        csv.writer(text).writerow(row)
        line = text.getvalue().encode()
        as_left = self._path.is_file() and self._path.stat().st_size == len(self.rows)
        self.rows += line
        if as_left:
            with self._path.open("ab") as file:
                file.write(line)
        else:
            restore(self._path.parent, self.rows)  # somebody has removed or cut it

    def _tell(self, *events: Event) -> None:
        for event in events:
            event.wall_time = time.time()
        with self._events.open("ab") as file:
            file.write(b"".join(map(_record, events)))


def restore(folder: Path, rows: bytes | bytearray) -> None:
    """Restore the CSV to the `rows` of a log."""
    draft = folder / f"{FILE}.draft"
    draft.unlink(missing_ok=True)
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
    with log.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    events = [Event(wall_time=0.0, file_version="brain.Event:2")]
    for row in rows:
        step = int(row.pop("step"))
        events.append(_scalars(step, {name: float(text) for name, text in row.items()}))
        events[-1].wall_time = float(step)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(map(_record, events)))


def _scalars(step: int, values: Mapping[str, float]) -> Event:
    pairs = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    return Event(step=step, summary=Summary(value=pairs))


def _record(event: Event) -> bytes:
    """A record of an event file: length, its checksum, the event, its checksum."""
    data = event.SerializeToString()
    length = struct.pack("<Q", len(data))
    sums = [struct.pack("<I", masked_crc32c(part)) for part in (length, data)]
    return length + sums[0] + data + sums[1]
