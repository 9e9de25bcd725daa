"""`train.processes`: mpirun is started, watched, stopped and explained."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from commands import COMMAND, eventually
from safetensors.numpy import load_file

from unidet.backend.gpu import NoGpu
from unidet.cli import compose
from unidet.config.machines import TrainConfig
from unidet.config.study import Config
from unidet.console.interrupt import EXIT_CODE
from unidet.errors import UserError
from unidet.pipelines.engine import mpi
from unidet.pipelines.engine.mpi import mpirun, reason

needs_mpi = pytest.mark.skipif(shutil.which("mpicc") is None, reason="no Open MPI")


# --- the command and what it says ----------------------------------------------------------------


def test_without_open_mpi_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match=r"^train.processes=2: mpirun is missing; Debian, Ubuntu"):
        mpirun(TrainConfig(processes=2, hostfile=""))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with programs of the right names."""
    for name in ("mpirun", "mpicc"):
        (tmp_path / name).touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "/ours")


def test_a_hostfile_is_handed_on_as_it_is(tools: None, tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("one slots=4\ntwo slots=4\n")
    command = mpirun(TrainConfig(processes=8, hostfile=str(hosts)))
    assert command[:5] == ["mpirun", "--bind-to", "none", "-np", "8"]
    assert command[command.index("--hostfile") + 1] == str(hosts)
    assert "--oversubscribe" not in command
    exported = [command[at + 1] for at, word in enumerate(command) if word == "-x"]
    assert {"PATH", "PYTHONPATH"} <= set(exported)


def test_a_missing_hostfile_is_refused(tools: None) -> None:
    with pytest.raises(UserError, match=r"^train.hostfile: hosts is not a file"):
        mpirun(TrainConfig(processes=8, hostfile="hosts"))


BANNER = """--------------------------------------------------------------------------
Primary job  terminated normally, but 1 process returned
a non-zero exit code. Per user-direction, the job has been aborted.
"""
KILLED = """mpirun noticed that process rank 1 with PID 0 on node here exited on
signal 9 (Killed).
"""


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("unidet: image 7 cannot be read\n" + BANNER, "image 7 cannot be read"),
        (KILLED, "process 1 ended by signal 9 (Killed)"),
        ("Traceback\n  File\nValueError: 3 names\n" + BANNER, "ValueError: 3 names"),
        (BANNER, "mpirun ended with status 1"),
    ],
)
def test_the_reason_is_found_in_what_was_said(tmp_path: Path, said: str, told: str) -> None:
    log = tmp_path / "mpirun.log"
    log.write_text(said)
    assert reason(log, 1) == told


# --- which device --------------------------------------------------------------------------------

TOO_FEW = "3 processes of train.processes need a GPU each, 2 GPUs are shown on this machine: tra"


@pytest.mark.parametrize(
    ("asked", "gpus", "hosts", "device"),
    [
        ("auto", 3, "", "cuda"),
        ("auto", 4, "", "cuda"),
        ("cuda", 3, "", "cuda"),
        ("cpu", 3, "", "cpu"),
        ("auto", 2, "", "cpu"),
        ("auto", 0, "", "cpu"),
        ("auto", 1, "hosts", "cuda"),  # the others are elsewhere
    ],
)
def test_gpus_where_each_process_can_have_its_own(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    asked: str,
    gpus: int,
    hosts: str,
    device: str,
) -> None:
    monkeypatch.setattr(mpi, "try_cuda", lambda: machine(gpus))
    assert mpi.device_for(config(asked, hosts)) == device
    warned = f"  warning: the GPUs are not used: {TOO_FEW}in.processes=2\n" if gpus == 2 else ""
    assert capsys.readouterr().err == warned


@pytest.mark.parametrize(("gpus", "why"), [(0, "no NVIDIA driver"), (2, TOO_FEW)])
def test_gpus_that_must_be_there(monkeypatch: pytest.MonkeyPatch, gpus: int, why: str) -> None:
    monkeypatch.setattr(mpi, "try_cuda", lambda: machine(gpus))
    with pytest.raises(UserError, match=f"^device=cuda: {why}.*; or use device=cpu"):
        mpi.device_for(config("cuda"))


def config(device: str, hosts: str = "") -> Config:
    changes = (f"runtime.device={device}", "train.processes=3", f"train.hostfile={hosts}")
    return compose(["experiment=toy", *changes])


def machine(gpus: int) -> SimpleNamespace:
    if gpus == 0:
        raise NoGpu("no NVIDIA driver")
    return SimpleNamespace(driver=SimpleNamespace(gpus=("A100",) * gpus))


# --- the stage -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the `rpn` that one process has trained."""
    root = tmp_path_factory.mktemp("one")
    done = subprocess.run(command(overrides, root), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of that store without it."""
    root = tmp_path / "store"
    shutil.copytree(built, root)
    shutil.rmtree(next((root / "artefacts").glob("rpn-*")))
    for record in (root / "store" / "v1" / "actions").glob("*/*.json"):
        if '"stage":"rpn"' in record.read_text().replace(": ", ":"):
            record.unlink()
    return root


# Plain gradient descent: Adam's first steps turn the noise of tiny gradients into whole steps.
SETTINGS = (
    "rpn.training.optimizer.kind=sgd",
    "rpn.training.batch_size=4",
    "rpn.training.checkpoint_every=1",
)


def command(overrides: tuple[str, ...], root: Path, *more: str) -> list[str]:
    return [*COMMAND, "stage=rpn", *overrides, *SETTINGS, f"store.root={root}", *more]


def weights(root: Path) -> dict[str, np.ndarray]:
    return load_file(next((root / "artefacts").glob("rpn-*/model.safetensors")))


def assert_same(root: Path, built: Path) -> None:
    ours, theirs = weights(root), weights(built)
    for name in theirs:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5, rtol=1e-5, err_msg=name)


def training(root: Path) -> list[int]:
    """The training processes below `root`, by rank."""
    pids = {}
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes().split(b"\0")
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--together" in line and any(str(root).encode() in part for part in line):
            ranks = [v for v in variables if v.startswith(b"OMPI_COMM_WORLD_RANK=")]
            pids |= {int(rank.split(b"=")[1]): int(entry.name) for rank in ranks}
    return [pids[rank] for rank in sorted(pids)]


def checkpoints(root: Path) -> list[Path]:
    return list((root / "store" / "v1" / "work").glob("*/checkpoint.safetensors"))


@pytest.fixture
def silent_display() -> Iterator[None]:
    """Something that says nothing on the port of an X display, as any server there does."""
    with ExitStack() as opened:
        with suppress(OSError):  # there is something already
            opened.enter_context(socket.create_server(("127.0.0.1", 6000)))
        yield


@needs_mpi
@pytest.mark.usefixtures("silent_display")
def test_two_processes_leave_what_one_leaves(
    built: Path, store: Path, overrides: tuple[str, ...], tmp_path: Path
) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("localhost slots=2\n")
    together = command(overrides, store, "train.processes=2", f"train.hostfile={hosts}")
    done = subprocess.run(together, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert_same(store, built)
    files = {file.name for file in next((store / "artefacts").glob("rpn-*")).iterdir()}
    assert {"model.safetensors", "log.csv", "loss.png"} <= files
    assert not list((store / "store" / "v1" / "work").iterdir())


@needs_mpi
@pytest.mark.parametrize(
    ("victim", "number", "status"),
    [
        pytest.param("rank 1", signal.SIGKILL, 2, marks=pytest.mark.slow),
        pytest.param("parent", signal.SIGTERM, EXIT_CODE, marks=pytest.mark.slow),
        pytest.param("parent", signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_whatever_ends_it_the_checkpoint_serves(
    built: Path, store: Path, overrides: tuple[str, ...], victim: str, number: int, status: int
) -> None:
    longer = ("rpn.training.steps=200", "rpn.training.schedule.kind=constant")
    parent = subprocess.Popen(
        command(overrides, store, "train.processes=2", *longer),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert eventually(lambda: checkpoints(store))
    os.kill(parent.pid if victim == "parent" else training(store)[1], number)
    error = parent.communicate()[1]
    assert parent.returncode == status, error
    assert eventually(lambda: not training(store), 30)
    (checkpoint,) = checkpoints(store)
    assert load_file(checkpoint)["step"][0] > 0
    if victim == "rank 1":
        assert "unidet: rpn: process 1 ended by signal 9 (Killed); the last checkpoint" in error
