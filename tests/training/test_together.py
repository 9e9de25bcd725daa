"""Two processes of Open MPI train as one does with the doubled batch, and stop as one."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_networks import batch, network_and_batch

from unidet.console.interrupt import EXIT_CODE

SCRIPT = Path(__file__).with_name("together.py")
NETWORKS = ("cln", "classifier", "partitioned classifier", "end to end")
needs_mpi = pytest.mark.skipif(shutil.which("mpicc") is None, reason="no Open MPI")


def run(folder: Path, mode: str, processes: int) -> int:
    command = [sys.executable, str(SCRIPT), str(folder), mode]
    if processes > 1:
        mpirun = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]
        mpirun = ["env", "HWLOC_COMPONENTS=-gl", *mpirun]  # as engine/mpi.py starts it
        command = [*mpirun, "-np", str(processes), *command]
    folder.mkdir(exist_ok=True)
    with (folder / "output").open("w") as output:
        return subprocess.run(command, stdout=output, stderr=output, check=False).returncode


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    assert run(folder, "train", 1) == 0, (folder / "output").read_text()
    return folder


def assert_same_weights(found: Path, expected: Path, name: str) -> None:
    network, _ = network_and_batch(name)
    start = {key: var.numpy() for key, var in network.state_dict().items()}
    with np.load(found / f"{name}.npz") as ours, np.load(expected / f"{name}.npz") as theirs:
        moved = max(np.abs(theirs[key] - start[key]).max() for key in start)
        assert moved > 1e-2
        for key in start:
            np.testing.assert_allclose(ours[key], theirs[key], atol=1e-5, rtol=1e-5, err_msg=key)


@needs_mpi
def test_two_processes_are_one_with_the_doubled_batch(alone: Path, tmp_path: Path) -> None:
    """Counts, shared names, batch norm's statistics, clipping, EMA: all as of one batch."""
    assert run(tmp_path, "train", 2) == 0, (tmp_path / "output").read_text()
    for name in NETWORKS:
        assert_same_weights(tmp_path, alone, name)
        with (
            (tmp_path / name / "log.csv").open() as ours,
            (alone / name / "log.csv").open() as theirs,
        ):
            for row, expected in zip(csv.DictReader(ours), csv.DictReader(theirs), strict=True):
                for key in expected:
                    assert float(row[key]) == pytest.approx(float(expected[key]), rel=1e-4)


@needs_mpi
def test_a_dead_process_ends_all_and_the_checkpoint_serves(alone: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "die", 2) not in (0, EXIT_CODE)
    assert load_file(tmp_path / "cln" / "checkpoint.safetensors")["step"].tolist() == [2]
    assert run(tmp_path, "train", 2) == 0
    assert_same_weights(tmp_path, alone, "cln")


@pytest.mark.slow
@needs_mpi
def test_a_request_to_one_process_stops_all_at_one_step(alone: Path, tmp_path: Path) -> None:
    assert run(tmp_path, "stop", 2) == EXIT_CODE
    assert load_file(tmp_path / "cln" / "checkpoint.safetensors")["step"].tolist() == [2]


def test_the_batch_of_these_tests_is_uneven() -> None:
    """Halves with equal counts would not show a loss that divides by its own part's count."""
    first, second = batch().parts(2)
    assert sum(map(len, first.boxes)) != sum(map(len, second.boxes))
