"""The log of a run, and its events for TensorBoard."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from unidet.training.log import EVENTS, FILE, TrainingLog, keep_log


def logged(work: Path) -> Path:
    work.mkdir()
    log = TrainingLog(work, 0)
    log.write(0, {"loss": 2.5, "lr": 0.1})
    log.write(10, {"loss": 1.25, "lr": 0.05})
    log.close()
    return work


def events(path: Path) -> list[Event]:
    """Records of a tfevents file: length (8), its checksum (4), data, the data's checksum (4)."""
    content, events = path.read_bytes(), []
    while content:
        length = int.from_bytes(content[:8], "little")
        events.append(Event.FromString(content[12 : 12 + length]))
        content = content[16 + length :]
    return events


def test_events_hold_what_the_log_holds(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    keep_log(logged(tmp_path / "work"), tmp_path / "out")
    head, *rows = events(tmp_path / "out" / EVENTS)
    assert head.file_version == "brain.Event:2"
    assert [row.step for row in rows] == [0, 10]
    values = [{value.tag: value.simple_value for value in row.summary.value} for row in rows]
    assert values[0] == pytest.approx({"loss": 2.5, "lr": 0.1})
    assert values[1] == pytest.approx({"loss": 1.25, "lr": 0.05})


def test_two_runs_leave_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However late and wherever the second one runs."""
    (tmp_path / "a").mkdir()
    keep_log(logged(tmp_path / "first"), tmp_path / "a")
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    (tmp_path / "b").mkdir()
    keep_log(logged(tmp_path / "second"), tmp_path / "b")
    left, right = (
        {p.relative_to(tmp_path / run): p.read_bytes() for p in (tmp_path / run).rglob("*.*")}
        for run in "ab"
    )
    assert left == right
    assert set(map(str, left)) == {FILE, EVENTS}
