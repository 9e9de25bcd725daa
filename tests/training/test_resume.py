"""A run that was ended at any step and resumed has the uninterrupted run's weights, bit for bit."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from unidet.console.interrupt import EXIT_CODE

SCRIPT = Path(__file__).with_name("resumable.py")
NEVER = 0


def run(folder: Path, kill_at: int = NEVER, signal: str = "SIGKILL") -> subprocess.CompletedProcess:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SCRIPT), str(folder), str(kill_at), signal]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    result = run(tmp_path_factory.mktemp("whole"))
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_killed_between_checkpoints_and_resumed(tmp_path: Path, uninterrupted: str) -> None:
    assert run(tmp_path, kill_at=17).returncode == -9
    resumed = run(tmp_path)
    assert resumed.stdout == uninterrupted, resumed.stderr
    with (tmp_path / "log.csv").open() as file:
        steps = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps == [0, 10, 20, 29]


@pytest.mark.parametrize(
    ("step", "signal"),
    [
        (1, "SIGINT"),
        (5, "SIGTERM"),
        pytest.param(7, "SIGTERM", marks=pytest.mark.slow),
        pytest.param(20, "SIGINT", marks=pytest.mark.slow),
        pytest.param(30, "SIGTERM", marks=pytest.mark.slow),
    ],
)
def test_asked_to_stop_saves_at_that_step(
    tmp_path: Path, uninterrupted: str, step: int, signal: str
) -> None:
    assert run(tmp_path, kill_at=step, signal=signal).returncode == EXIT_CODE
    from safetensors.numpy import load_file

    assert load_file(tmp_path / "checkpoint.safetensors")["step"].tolist() == [step]
    assert run(tmp_path).stdout == uninterrupted


@pytest.mark.slow
def test_stopped_after_every_single_step(tmp_path: Path, uninterrupted: str) -> None:
    for step in range(1, 31):
        assert run(tmp_path, kill_at=step, signal="SIGTERM").returncode == EXIT_CODE
    assert run(tmp_path).stdout == uninterrupted


def test_a_damaged_checkpoint_and_a_lost_log(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, uninterrupted: str
) -> None:
    """Saved after steps 7 and 14; one bit of the newest flips, and the log is gone."""
    assert run(tmp_path, kill_at=17).returncode == -9
    checkpoint = tmp_path / "checkpoint.safetensors"
    flipped = bytearray(checkpoint.read_bytes())
    flipped[-5] ^= 1
    checkpoint.write_bytes(flipped)
    (tmp_path / "log.csv").unlink()
    resumed = run(tmp_path)
    assert resumed.stdout == uninterrupted, resumed.stderr
    assert "a damaged checkpoint (its checksum does not match)" in resumed.stderr
    whole = next(tmp_path_factory.getbasetemp().glob("whole*"))
    assert (tmp_path / "log.csv").read_bytes() == (whole / "log.csv").read_bytes()


def test_a_checkpoint_that_was_cut_off_is_never_read(tmp_path: Path, uninterrupted: str) -> None:
    (tmp_path / "checkpoint.safetensors.draft").write_bytes(b"half a file")
    assert run(tmp_path).stdout == uninterrupted
