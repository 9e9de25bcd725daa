"""A checkpoint is used whole or not at all, and brings the log back to where it was."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jittor as jt
import numpy as np
import pytest
from disks import fails_at
from jittor import nn

from unidet.config.training import OptimizerConfig
from unidet.errors import UserError
from unidet.training.checkpoint import FILE, PREVIOUS, load_checkpoint, save_checkpoint
from unidet.training.log import FILE as LOG
from unidet.training.log import TrainingLog
from unidet.training.optimizer import Optimizer

Damage = Callable[[bytes], bytes]


def network(value: float) -> tuple[nn.Module, Optimizer]:
    model = nn.Linear(3, 2)
    for var in model.state_dict().values():
        var.update(jt.full(var.shape, value))
    return model, Optimizer(model, OptimizerConfig(kind="adamw", lr=0.1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Saved after step 7, all weights 7.0, and after step 14; a row of the log for each step."""
    log = TrainingLog(tmp_path, 0)
    for step in range(15):
        log.write(step, {"loss": 1.0 / (step + 1)})
        if step in (6, 13):
            save_checkpoint(tmp_path, step + 1, *network(step + 1), None, log.rows)
    return tmp_path


def restored(folder: Path) -> tuple[int, float, list[int]]:
    """Finished steps, the weights' one value, and the steps in the log."""
    model, optimizer = network(0.0)
    step = load_checkpoint(folder, model, optimizer, None)
    (value,) = np.unique(np.concatenate([v.numpy().ravel() for v in model.state_dict().values()]))
    TrainingLog(folder, step)
    lines = (folder / LOG).read_text().splitlines()[1:] if (folder / LOG).exists() else []
    return step, float(value), [int(line.split(",")[0]) for line in lines]


def flipped(place: int) -> Damage:
    def flip(data: bytes) -> bytes:
        altered = bytearray(data)
        altered[place] ^= 1
        return bytes(altered)

    return flip


DAMAGE: dict[str, Damage] = {
    "a bit of the last array": flipped(-1),
    "a bit of the body": flipped(-40),
    "a bit of the header": flipped(30),
    "a bit of its length": flipped(1),
    "cut": lambda data: data[:-9],
    "cut to its header": lambda data: data[:100],
    "empty": lambda data: b"",
    "NUL bytes": lambda data: b"\0" * len(data),
    "NUL bytes at the end": lambda data: data[:-50] + b"\0" * 50,
    "of another kind": lambda data: b"PK\x03\x04" + data,
}


def test_the_newest_is_used(folder: Path) -> None:
    assert restored(folder) == (14, 14.0, list(range(14)))


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_one_is_set_aside_and_the_one_before_is_used(
    folder: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / FILE
    path.write_bytes(DAMAGE[kind](path.read_bytes()))
    damaged = path.read_bytes()
    assert restored(folder) == (7, 7.0, list(range(7)))
    assert (folder / f"{FILE}.damaged").read_bytes() == damaged
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{FILE}.damaged: a damaged checkpoint (" in line
    assert line.endswith("; continuing from the one before")
    save_checkpoint(folder, 14, *network(14.0), None, b"")
    assert restored(folder)[:2] == (14, 14.0)


@pytest.mark.parametrize("before", ["damaged", "none"])
def test_it_is_said_where_training_starts_again(
    folder: Path, before: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / FILE).write_bytes(b"")
    (folder / PREVIOUS).write_bytes(b"")
    if before == "none":
        (folder / PREVIOUS).unlink()
    assert restored(folder)[0] == 0
    assert capsys.readouterr().err.splitlines()[-1].endswith("; starting again")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_set_aside(folder: Path, make: Callable[[Path], None]) -> None:
    (folder / FILE).unlink()
    make(folder / FILE)
    assert restored(folder) == (7, 7.0, list(range(7)))
    assert (folder / f"{FILE}.damaged").exists()


def test_a_folder_in_place_of_the_previous_one_is_set_aside_when_saving(folder: Path) -> None:
    """Else no run could save any more. One that was set aside before makes way for it."""
    (folder / PREVIOUS).unlink()
    (folder / PREVIOUS / "mine").mkdir(parents=True)
    (folder / f"{PREVIOUS}.damaged").write_bytes(b"earlier")
    save_checkpoint(folder, 21, *network(21.0), None, b"")
    assert (folder / f"{PREVIOUS}.damaged" / "mine").is_dir()
    assert restored(folder)[:2] == (21, 21.0)
    (folder / FILE).unlink()
    assert restored(folder)[:2] == (14, 14.0)


def test_one_larger_than_any_of_its_network_is_set_aside_unread(folder: Path) -> None:
    os.truncate(folder / FILE, 1 << 43)  # sparse; read, it would end in a MemoryError
    assert restored(folder) == (7, 7.0, list(range(7)))
    assert (folder / f"{FILE}.damaged").exists()


def test_one_that_the_disk_gives_no_more_is_set_aside(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_at(folder / FILE, monkeypatch)
    assert restored(folder) == (7, 7.0, list(range(7)))
    assert (folder / f"{FILE}.damaged").exists()


@pytest.mark.parametrize(
    ("kept", "then"),
    [(True, "resumes from the one before"), (False, "starts again, as there is none")],
)
def test_one_that_cannot_be_written_says_where_the_run_goes_on(
    folder: Path, kept: bool, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kept:
        for name in (FILE, PREVIOUS):
            (folder / name).unlink()

    def full(path: Path, arrays: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr("unidet.training.checkpoint.save_tensors", full)
    with pytest.raises(UserError, match=f"the same command {then}"):
        save_checkpoint(folder, 21, *network(21.0), None, b"")
    assert restored(folder)[0] == (14 if kept else 0)


def test_with_both_damaged_the_run_starts_again(folder: Path) -> None:
    for name in (FILE, PREVIOUS):
        (folder / name).write_bytes(b"")
    assert restored(folder) == (0, 0.0, [])


def test_a_second_damaged_one_takes_the_place_of_a_folder(folder: Path) -> None:
    (folder / f"{FILE}.damaged").mkdir()
    (folder / FILE).write_bytes(b"")
    assert restored(folder) == (7, 7.0, list(range(7)))


def test_that_of_another_run_is_set_aside(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "another key"
    other.mkdir()
    save_checkpoint(other, 30, *network(30.0), None, b"")
    shutil.copy(other / FILE, folder)
    assert restored(folder) == (7, 7.0, list(range(7)))
    assert "(it is of another run)" in capsys.readouterr().err


def test_killed_between_the_two_renames(folder: Path) -> None:
    (folder / FILE).unlink()
    assert restored(folder) == (7, 7.0, list(range(7)))


@pytest.mark.parametrize("rows", [None, b"", b"step,lo", b"\0" * 200, b"step,loss\n0,1\n1,0."])
def test_the_log_comes_back_with_the_checkpoint(folder: Path, rows: bytes | None) -> None:
    (folder / LOG).unlink()
    if rows is not None:
        (folder / LOG).write_bytes(rows)
    assert restored(folder) == (14, 14.0, list(range(14)))


@pytest.mark.parametrize("rows", [b"", b"step,lo", b"\0" * 200])
def test_a_run_that_starts_anew_is_not_stopped_by_what_is_left_of_a_log(
    tmp_path: Path, rows: bytes
) -> None:
    (tmp_path / LOG).write_bytes(rows)
    assert restored(tmp_path) == (0, 0.0, [])


def test_the_new_file_is_on_the_disk_before_the_old_one_moves(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace = Path.replace
    monkeypatch.setattr("os.fsync", lambda descriptor: steps.append("sync"))
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (steps.append(path.name), replace(path, to))[1]
    )
    save_checkpoint(folder, 21, *network(21.0), None, b"")
    assert steps == ["sync", FILE, f"{FILE}.draft", "sync"]
