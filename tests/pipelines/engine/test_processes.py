"""Several processes at one stage: the same bytes, whoever dies or is stopped meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import COMMAND, eventually
from studies import bare_job

from unidet.console.interrupt import EXIT_CODE, Interrupted
from unidet.errors import UserError
from unidet.pipelines.engine import cluster, processes
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import ShardSet
from unidet.pipelines.engine.stage import Job, Sharding
from unidet.store import lock
from unidet.store.store import Store

# --- waiting for processes that are played -------------------------------------------------------


class Played:
    """Workers that leave the shards of `leaves` behind and then end with `said`."""

    def __init__(self, job: Job, leaves: int, said: list[str]) -> None:
        self.job, self.leaves, self.said = job, leaves, said
        self.stopped = False

    def running(self) -> int:
        for number in range(self.leaves):
            file = self.job.work / "shards" / "val" / "2-by-1" / f"shard-{number:05d}.npz"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        self.leaves, still = 0, self.leaves
        return still

    def failures(self) -> list[str]:
        return self.said

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture
def played(
    tmp_path: Path, tiny: Callable, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Played]:
    """Fills a plan of two shards with played workers."""

    def fill(leaves: int, said: list[str], progress: Callable | None = None) -> Played:
        job = bare_job(tmp_path, **({"progress": progress} if progress else {}))
        workers = Played(job, leaves, said)
        monkeypatch.setattr(processes, "_start", lambda *_: workers)
        plan = ShardSet("val", images=2, per_shard=1)
        sharding = Sharding(lambda job: plan, lambda job: pytest.fail("alone"), lambda config: 2)
        fill.workers = workers
        processes.fill_shards(Node("proposals"), sharding, tiny(), job)
        return workers

    return fill


def test_a_failure_that_leaves_shards_ends_the_stage(played: Callable) -> None:
    with pytest.raises(UserError, match=r"^proposals: image 3 is broken; finished shards"):
        played(1, ["image 3 is broken"])


def test_a_failure_that_others_made_up_for_is_told(
    played: Callable, capsys: pytest.CaptureFixture
) -> None:
    played(2, ["a process was ended by signal 9"])
    assert "signal 9; other processes finished its shards" in capsys.readouterr().err


def test_asked_to_stop_it_stops_the_processes_first(played: Callable) -> None:
    class Stopped:
        def __init__(self, label: str) -> None: ...
        def update(self, done: int, total: int) -> None:
            raise Interrupted("stopped on request")

        def close(self) -> None: ...

    with pytest.raises(Interrupted):
        played(1, [], Stopped)
    assert played.workers.stopped


def test_why_ended_gives_the_last_words_of_bad_input(tmp_path: Path) -> None:
    log = tmp_path / "0.log"
    log.write_text("compiling\nunidet: images/7.jpg: cannot be read\n\n")
    assert processes.why_ended(2, log) == "images/7.jpg: cannot be read"
    assert processes.why_ended(-9, log).startswith("a process was ended by signal 9: ")


def test_a_task_file_holds_no_password(tmp_path: Path, tiny: Callable) -> None:
    config = tiny("remote='sftp://me:S3cret@cluster/data'")
    assert "S3cret" in config.remote
    path = processes.write_task(bare_job(tmp_path), Node("rpn"), config)
    assert "S3cret" not in path.read_text()
    assert processes.read_task(path)["node"] == "rpn"


WATCHER = """import sys, time
from pathlib import Path
from unidet.pipelines.engine.processes import end_with
end_with(Path(sys.argv[1]), sys.argv[2])
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
"""


@pytest.mark.parametrize(("host", "status"), [("", EXIT_CODE), ("elsewhere", 0)])
def test_a_launcher_s_process_ends_with_the_run_on_its_machine(
    tmp_path: Path, host: str, status: int
) -> None:
    """Of a run elsewhere a lock may say nothing: there the queue is in charge."""
    held = lock.acquire(tmp_path / "a.lock")
    owner = f"{host}-1" if host else processes.process_name()
    command = [sys.executable, "-c", WATCHER, tmp_path / "a.lock", owner, "2" if host else "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        if not host:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(timeout=1)
        lock.release(held)
        assert child.wait(timeout=30) == status


def test_a_task_of_an_array_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[tuple[Path, str]] = []
    monkeypatch.setattr(cluster, "end_with", lambda *given: watched.append(given))
    monkeypatch.setattr(cluster, "work_command", lambda task: ["true"])
    store = Store(tmp_path)
    cluster.ShardTask()(str(store.work("0" * 64) / "task.json"), "host-1")
    assert watched == [(store.layout.lock("0" * 64), "host-1")]


@pytest.mark.parametrize("attached", [False, True])
def test_a_folder_s_files_are_not_taken_for_modules(attached: bool, tmp_path: Path) -> None:
    """A user's random.py, or the folder of a checkout, which is called unidet."""
    for name in ("json", "random", "argparse"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "unidet").mkdir()
    (tmp_path / "unidet/__init__.py").write_text("raise SystemExit('shadowed')")
    command = processes.unidet_command("--version", attached=attached)
    reads, writes = os.pipe()  # an attached process ends where its input does
    done = subprocess.run(command, cwd=tmp_path, stdin=reads, capture_output=True)
    os.close(reads)
    os.close(writes)
    assert (done.returncode, done.stdout.split()[:1], done.stderr) == (0, [b"unidet"], b"")


def test_a_task_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "task.json"
    for text in ("{", "[]", '{"stage": "proposals"}'):
        wrong.write_text(text)
        done = subprocess.run([*COMMAND, "work", str(wrong)], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr.startswith(f"unidet: {wrong}: not a task file")


# --- real processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(overrides: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which one process has built the proposals of a set, and all before them."""
    root = tmp_path_factory.mktemp("one")
    done = subprocess.run(command(overrides, root), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def store(built: Path, tmp_path: Path) -> Path:
    """A copy of that store which knows no proposals."""
    root = tmp_path / "store"
    shutil.copytree(built, root)
    shutil.rmtree(next((root / "artefacts").glob("proposals-*")))
    for record in (root / "store" / "v1" / "actions").glob("*/*.json"):
        if '"stage":"proposals"' in record.read_text().replace(": ", ":"):
            record.unlink()
    return root


def command(overrides: tuple[str, ...], root: Path, *more: str) -> list[str]:
    return [*COMMAND, "stage=proposals:a", *overrides, f"store.root={root}", *more]


def run(overrides: tuple[str, ...], root: Path, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(overrides, root, *more), capture_output=True, text=True)


def proposals(root: Path) -> str:
    """Name of the artefact, which ends in the digest of its content."""
    (folder,) = (root / "artefacts").glob("proposals-*")
    return folder.name


def workers(root: Path) -> list[int]:
    """Processes that work for the store at `root`."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().split(b"\0")
                if b"work" in line and any(str(root).encode() in part for part in line):
                    pids.append(int(entry.name))
    return pids


def shards(root: Path) -> list[Path]:
    return list((root / "store" / "v1" / "work").glob("*/shards/**/shard-*.npz"))


def test_two_processes_leave_the_same_bytes_and_one_dies(
    built: Path, store: Path, overrides: tuple[str, ...]
) -> None:
    more = ("proposals.processes=2", "proposals.images_per_shard=3")
    parent = subprocess.Popen(
        command(overrides, store, *more), stderr=subprocess.PIPE, text=True, stdout=subprocess.PIPE
    )
    assert eventually(lambda: len(workers(store)) == 2)
    os.kill(workers(store)[0], signal.SIGKILL)
    error = parent.communicate()[1]
    assert parent.returncode == 0, error
    assert "ended by signal 9" in error
    assert proposals(store) == proposals(built)


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, EXIT_CODE),
        pytest.param(signal.SIGKILL, -signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_stopped_in_the_middle_leaves_no_process_and_resumes(
    built: Path, store: Path, overrides: tuple[str, ...], number: int, status: int
) -> None:
    parent = subprocess.Popen(
        command(overrides, store, "proposals.processes=2"),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    assert eventually(lambda: shards(store))
    os.kill(parent.pid, number)
    assert parent.wait() == status
    assert eventually(lambda: not workers(store), 20)
    (task,) = (store / "store" / "v1" / "work").glob("*/task.json")
    alone = subprocess.run([*COMMAND, "work", str(task)], capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr
    assert len(shards(store)) == 3  # of three scenes, three and two
    done = run(overrides, store)
    assert re.search(r"^proposals\[training/a\] +resumed", done.stderr, re.MULTILINE)
    assert proposals(store) == proposals(built)


def test_a_job_array_leaves_the_same_bytes(
    built: Path, store: Path, overrides: tuple[str, ...]
) -> None:
    pytest.importorskip("submitit")
    done = run(overrides, store, "proposals.processes=2", "cluster.executor=local")
    assert done.returncode == 0, done.stderr
    assert proposals(store) == proposals(built)


def test_a_cluster_that_is_not_there_is_one_line(store: Path, overrides: tuple[str, ...]) -> None:
    pytest.importorskip("submitit")
    if shutil.which("srun"):
        pytest.skip("Slurm is here")
    done = run(overrides, store, "cluster.executor=slurm")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("unidet: cluster.executor=slurm: ")
