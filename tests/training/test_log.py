"""The log of a run, and its events for TensorBoard."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from disks import no_room
from jittor import nn
from tensorboardX.proto.event_pb2 import Event

from unidet.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from unidet.ops.loss_term import Losses, LossTerm
from unidet.ops.sampling import BatchRandom
from unidet.training.checkpoint import load_checkpoint
from unidet.training.log import EVENTS, FILE, TrainingLog, keep_log
from unidet.training.loop import train
from unidet.training.optimizer import Optimizer


def logged(work: Path) -> Path:
    work.mkdir()
    log = TrainingLog(work, 0)
    log.write(0, {"loss": 2.5, "lr": 0.1})
    log.write(10, {"loss": 1.25, "lr": 0.05})
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


def test_live_events_start_again_where_a_run_resumes(tmp_path: Path) -> None:
    work = logged(tmp_path / "work")
    TrainingLog(work, 5).write(5, {"loss": 1.5, "lr": 0.1})
    shown = events(work / EVENTS)
    assert [event.step for event in shown] == [0, 0, 0, 10, 0, 5, 5]
    starts = [event.step for event in shown if event.HasField("session_log")]
    assert starts == [0, 5]
    assert {value.tag: value.simple_value for value in shown[3].summary.value} == pytest.approx(
        {"loss": 1.25, "lr": 0.05}
    )
    TrainingLog(work, 0)
    assert len(events(work / EVENTS)) == 2


def test_a_full_disk_ends_training_with_one_error(tmp_path: Path) -> None:
    """And does not let it wait for ever."""
    log = TrainingLog(tmp_path, 0)
    for step in range(10):
        log.write(step, {"loss": 1.0, "lr": 0.1})
    with no_room(), pytest.raises(OSError, match="File too large"):
        log.write(10, {"loss": 1.0, "lr": 0.1})


class Removing:
    """Progress that loses the log, as an unlucky user, at one step."""

    def __init__(self, log: Path, step: int) -> None:
        self.log, self.step = log, step

    def update(self, done: int, total: int, note: str = "") -> None:
        if done == self.step:
            self.log.unlink()


@pytest.mark.parametrize("ends", [False, True])
def test_a_log_that_is_lost_during_training_is_whole_again(tmp_path: Path, ends: bool) -> None:
    """At the end, and after a resumption from the checkpoint that was saved meanwhile."""
    settings = TrainingConfig(
        steps=30,
        batch_size=1,
        optimizer=OptimizerConfig(kind="sgd", lr=0.01),
        schedule=ScheduleConfig(kind="constant"),
        checkpoint_every=20,
    )
    model = nn.Linear(2, 1)

    def loss_of(inputs: np.ndarray, random: BatchRandom) -> Losses:
        return {"loss_square": LossTerm((model(jt.array(inputs)) ** 2).mean(), 1.0)}

    batches = itertools.repeat(np.ones((1, 2), np.float32))
    train(
        model,
        loss_of,
        lambda start: batches,
        settings,
        seed=0,
        folder=tmp_path,
        progress=Removing(tmp_path / FILE, 15),
    )
    if not ends:
        (tmp_path / FILE).unlink()
        optimizer = Optimizer(model, settings.optimizer)
        assert load_checkpoint(tmp_path, model, optimizer, None) == 20
    with (tmp_path / FILE).open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == ([0, 10, 20, 29] if ends else [0, 10])
