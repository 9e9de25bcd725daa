"""Sweeps: what is shared is built first, a failing job stays alone, one table at the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from commands import COMMAND
from disks import no_room
from studies import in_store

from unidet.cli import compose
from unidet.config.combinations import combinations
from unidet.config.study import Config
from unidet.console import interrupt
from unidet.console.interrupt import EXIT_CODE, Interrupted
from unidet.errors import UserError
from unidet.pipelines.engine import multirun_job as sweep_job
from unidet.pipelines.engine.engine import run
from unidet.pipelines.engine.graph import targets
from unidet.pipelines.engine.multirun import Sweep, blocks
from unidet.pipelines.engine.multirun_job import (
    Outcome,
    read_outcome,
    run_job,
    write_job,
    write_outcome,
)
from unidet.pipelines.engine.node import Node
from unidet.store.gc_plan import plan
from unidet.store.store import Store


class Launcher:
    """Plays a launcher: notes each wave, and ends the jobs of `failing` with that status."""

    def __init__(self, folder: Path, failing: dict[str, int] | None = None) -> None:
        self.folder, self.failing = folder, failing or {}
        self.waves: list[list[str]] = []

    def __call__(self, folder: Path, names: Sequence[str]) -> None:
        labels = [json.loads((folder / f"{name}.json").read_text())["label"] for name in names]
        self.waves.append(labels)
        for name, label in zip(names, labels, strict=True):
            status = self.failing.get(label, 0)
            artefact = self.folder / name
            if status == 0:
                artefact.mkdir()
                (artefact / "metrics.json").write_text(json.dumps({"AP": int(name[:1] != "0")}))
            write_outcome(folder, name, Outcome(status, str(artefact), "went wrong"))


Make = Callable[..., Sweep]


@pytest.fixture
def sweep(overrides: tuple[str, ...], tmp_path: Path) -> Make:
    """A sweep over the tiny study in an empty store."""

    def composed(job_overrides: Sequence[str]) -> Config:
        return in_store(tmp_path / "store", *job_overrides, *overrides)

    def make(*choices: str) -> Sweep:
        jobs, swept = combinations(list(choices))
        return Sweep(jobs, swept, composed)

    return make


FOR_BOTH = ("data:val", "data:dev", "clip_embeddings:toy_a", "clip_embeddings:toy_b")
"""What two RoI heads on different proposals share, besides what these are made from."""


def gammas(*more: str) -> tuple[str, ...]:
    return ("stage=lvis_eval", "calibration.gamma=0,0.3", *more)


def test_a_key_given_twice_is_labelled_by_the_value_that_counts(
    sweep: Make, tmp_path: Path
) -> None:
    launcher = Launcher(tmp_path)
    sweep("stage=lvis_eval", "calibration.gamma=0.9", "calibration.gamma=0,0.3").run(launcher)
    assert launcher.waves[-1] == ["calibration.gamma=0", "calibration.gamma=0.3"]


def test_combinations_vary_the_last_key_fastest() -> None:
    jobs, swept = combinations(["stage=rpn", "seed=1,2", "rpn.network.alpha=0.1,0.2"])
    assert swept == ["seed", "rpn.network.alpha"]
    expected = product(["seed=1", "seed=2"], ["rpn.network.alpha=0.1", "rpn.network.alpha=0.2"])
    assert jobs == [["stage=rpn", *pair] for pair in expected]


def test_what_a_script_gives_first_may_be_swept() -> None:
    jobs, swept = combinations(["a.b=2", "a.b=0,1"])
    assert swept == ["a.b"]
    assert jobs == [["a.b=2", "a.b=0"], ["a.b=2", "a.b=1"]]


def test_a_list_is_one_value_and_no_sweep() -> None:
    jobs, swept = combinations(["calibration_sweep.betas=[0.1,0.2]"])
    assert (jobs, swept) == ([["calibration_sweep.betas=[0.1,0.2]"]], [])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["seed=1,,2"], "seed=1,,2: the value cannot be read"),
        (["seed=range(0,1,0)"], "seed=range(0,1,0): is not a list of values"),
        (["seed=range(5,1)"], "seed=range(5,1): is not a list of values"),
        (["seed=range(0,nan)"], "seed=range(0,nan): is not a list of values"),
        (["seed=glob(*)"], "seed=glob(*): is not a list of values"),
        (["seed=interval(0,1)"], "seed=interval(0,1): is not a list of values"),
        (["seed=range(0,inf)"], "seed=range(0,inf): is more than 10000 values"),
        (["seed=range(0,200)", "a=range(0,200)"], "seed, a: more than 10000 combinations"),
        ([f"seed={'9' * 5000}"], "9: the value cannot be read"),
        (["a.b=0,1", "a.b=2"], "a.b=2: comes after a.b=0,1; give a.b once"),
        (["remote=sftp://me:a,b@host/x"], "remote: a sweep takes one address"),
        (["+a.b=0,1", "seed=1,2", "++a.b=2,3"], "++a.b=2,3: comes after +a.b=0,1; give a.b once"),
    ],
)
def test_what_is_no_sweep_is_one_line(overrides: list[str], says: str) -> None:
    with pytest.raises(UserError) as caught:
        combinations(overrides)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_shared_upstream_is_built_before_the_jobs(sweep: Make, tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    assert sweep(*gammas("rpn.network.alpha=0.2,0.4")).run(launcher) == 0
    shared = "which several jobs need"
    assert launcher.waves == [
        # What the two pairs of jobs have in common, the furthest artefacts only.
        [f"clip, {shared}"],
        [f"{node}, {shared}" for node in FOR_BOTH],
        [f"{node}, {shared}" for node in ("clip_embeddings:toy_val", "lvis_raw", "lvis_raw")],
        [
            f"calibration.gamma={gamma} rpn.network.alpha={alpha}"
            for gamma, alpha in product(("0", "0.3"), ("0.2", "0.4"))
        ],
    ]


def test_jobs_that_share_nothing_start_at_once(sweep: Make, tmp_path: Path) -> None:
    launcher = Launcher(tmp_path)
    assert sweep("stage=data", "seed=1,2").run(launcher) == 0
    assert launcher.waves == [["seed=1", "seed=2"]]


def test_what_is_built_is_not_launched(
    sweep: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("multirun", "multirun_plan"):
        monkeypatch.setattr(
            f"unidet.pipelines.engine.{module}.built_folders",
            lambda target, config: dict.fromkeys(targets(target, config), tmp_path),
        )
    launcher = Launcher(tmp_path)
    assert sweep(*gammas()).run(launcher) == 0
    assert launcher.waves == []


def test_a_sweep_asks_for_what_it_finds_built(
    sweep: Make, tiny: Callable[..., Config], tmp_path: Path
) -> None:
    """So a clean-up keeps that, not what was built after it and asked for before."""
    built = [run(tiny("stage=data:dev", f"seed={seed}")) for seed in (1, 2, 3)]
    launcher = Launcher(tmp_path)
    assert sweep("stage=data:dev", "seed=1,2").run(launcher) == 0
    assert launcher.waves == []
    store = Store(tmp_path / "store")
    dropped = [drop.action.key for drop in plan(store, keep_last=2).drops]
    assert dropped == [done.action.key for done in built[2].values()]


def test_a_failing_job_neither_stops_nor_hides_the_others(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    launcher = Launcher(tmp_path, {"calibration.gamma=0": 1})
    jobs = sweep("stage=lvis_eval", "calibration.gamma=0,0.3,-1")
    assert jobs.run(launcher) == 2
    assert launcher.waves[-1] == ["calibration.gamma=0", "calibration.gamma=0.3"]
    table = pd.read_csv(jobs.folder / "table.csv")
    assert table["calibration.gamma"].tolist() == [0.3]
    messages = capsys.readouterr().err
    assert "failed: calibration.gamma=0: went wrong" in messages
    assert "failed: calibration.gamma=-1: calibration.gamma: Input should be" in messages


def test_jobs_whose_upstream_failed_are_not_tried(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    launcher = Launcher(tmp_path, {"lvis_raw, which several jobs need": 1})
    assert sweep(*gammas()).run(launcher) == 2
    assert launcher.waves[-1][-1] == "lvis_raw, which several jobs need"
    messages = capsys.readouterr().err
    assert messages.count("lvis_raw[val] failed: went wrong") == 2


def test_a_launcher_that_dies_leaves_failed_jobs(
    sweep: Make, capsys: pytest.CaptureFixture
) -> None:
    def broken(folder: Path, names: Sequence[str]) -> None:
        raise RuntimeError("a worker was killed")

    assert sweep("stage=data", "seed=1,2").run(broken) == 2
    messages = capsys.readouterr().err
    assert "launcher failed: RuntimeError: a worker was killed" in messages
    assert messages.count("did not come to its end") == 2


def test_the_same_sweep_twice_is_one_after_the_other(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Neither takes away what a job of the other has reported."""
    begun, may_end = threading.Event(), threading.Event()
    launcher, statuses = Launcher(tmp_path / "first"), {}
    launcher.folder.mkdir()

    def slow(folder: Path, names: Sequence[str]) -> None:
        begun.set()
        assert may_end.wait(60)
        launcher(folder, names)

    def run(name: str, launch: Callable[[Path, Sequence[str]], None]) -> None:
        statuses[name] = sweep("stage=data", "seed=1,2").run(launch)

    first = threading.Thread(target=run, args=("first", slow))
    first.start()
    assert begun.wait(60)
    other = Launcher(tmp_path / "second")
    other.folder.mkdir()
    second = threading.Thread(target=run, args=("second", other))
    second.start()
    message, end = "", time.monotonic() + 60
    while "this sweep: waits for process" not in message:
        assert time.monotonic() < end, message
        time.sleep(0.05)
        message += capsys.readouterr().err
    assert other.waves == []
    may_end.set()
    first.join()
    second.join()
    assert statuses == {"first": 0, "second": 0}


def test_the_table_is_of_the_set_that_a_sweep_concerns(
    sweep: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """A limit of one evaluation set leaves the main one's artefacts, which have the AP 0, alone."""
    (tmp_path / "gt.json").touch()
    (tmp_path / "images").mkdir()

    def built(target: str, config: Config) -> dict[Node, Path]:
        nodes = targets(target, config)
        for node in nodes:
            folder = tmp_path / f"{node}-{config.data.evaluation['extra'].limit}"
            folder.mkdir(exist_ok=True)
            score = config.data.evaluation["extra"].limit / 10 if node.name == "extra" else 0
            (folder / "metrics.json").write_text(json.dumps({"AP": score}))
        return {
            node: tmp_path / f"{node}-{config.data.evaluation['extra'].limit}" for node in nodes
        }

    for module in ("multirun", "multirun_plan"):
        monkeypatch.setattr(f"unidet.pipelines.engine.{module}.built_folders", built)
    jobs = sweep(
        "stage=lvis_eval",
        f"data.root={tmp_path}",
        "+data.evaluation.extra.annotations=gt.json",
        "+data.evaluation.extra.images=images",
        "+data.evaluation.extra.vocabulary=toy_val",
        "+data.evaluation.extra.style=lvis",
        "+data.evaluation.extra.limit=2,3",
    )
    assert jobs.run(Launcher(tmp_path)) == 0
    table = pd.read_csv(jobs.folder / "table.csv")
    assert table["AP"].tolist() == [0.2, 0.3]
    assert [Path(folder).name for folder in table["artefact"]] == [
        "lvis_eval[extra]-2",
        "lvis_eval[extra]-3",
    ]
    printed = capsys.readouterr()
    assert printed.out.startswith("lvis_eval[extra]:\n")
    assert "note:" not in printed.err


def test_a_closed_terminal_that_ends_workers_is_an_interruption(
    sweep: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interrupt, "_requested", threading.Event())

    def hung_up(folder: Path, names: Sequence[str]) -> None:
        interrupt._requested.set()
        raise RuntimeError("a worker was ended by SIGHUP")

    with pytest.raises(Interrupted):
        sweep("stage=data", "seed=1,2").run(hung_up)


def test_a_stopped_job_ends_the_sweep_as_interrupted(sweep: Make, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        sweep("stage=data", "seed=1,2").run(Launcher(tmp_path, {"seed=2": EXIT_CODE}))


def test_the_table_holds_what_was_swept_and_where_it_lies(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    jobs = sweep(*gammas("detection.nms=0.5,0.6"))
    assert jobs.run(Launcher(tmp_path)) == 0
    table = pd.read_csv(jobs.folder / "table.csv")
    assert list(table) == ["calibration.gamma", "detection.nms", "AP", "artefact"]
    assert table["calibration.gamma"].tolist() == [0, 0, 0.3, 0.3]
    assert table["detection.nms"].tolist() == [0.5, 0.6, 0.5, 0.6]
    assert table["artefact"].tolist() == [str(tmp_path / f"00{number}") for number in range(4)]
    assert (jobs.folder / "AP_against_gamma.png").stat().st_size > 1000
    assert "calibration.gamma" in capsys.readouterr().out


def test_the_printed_table_shows_swept_values_as_given(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Three decimals would make one of two learning rates."""
    jobs = sweep("stage=rpn", "rpn.training.optimizer.lr=1e-5,0.0003", "seed=7,1234567")
    assert jobs.run(Launcher(tmp_path)) == 0
    printed = capsys.readouterr()
    assert [line.split()[:2] for line in printed.out.splitlines()[1:5]] == [
        ["1e-05", "7"],
        ["1e-05", "1234567"],
        ["0.0003", "7"],
        ["0.0003", "1234567"],
    ]
    assert "note:" not in printed.err
    table = pd.read_csv(jobs.folder / "table.csv")
    assert table["rpn.training.optimizer.lr"].tolist() == [1e-5, 1e-5, 3e-4, 3e-4]


@pytest.mark.parametrize(
    ("choices", "noted"),
    [
        (("stage=rpn", "detection.nms=0.5,0.6"), "rpn depends on nothing that was swept (det"),
        (("stage=rpn", "rpn.training.optimizer.lr=0.00002,2e-5"), ""),
        (("stage=data,rpn", "detection.nms=0.5"), ""),
    ],
)
def test_a_sweep_without_effect_is_noted(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture, choices: tuple[str, ...], noted: str
) -> None:
    assert sweep(*choices).run(Launcher(tmp_path)) == 0
    said = capsys.readouterr().err
    assert (noted in said) if noted else ("note:" not in said)


def test_one_job_without_metrics_prints_its_folder(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    def launch(folder: Path, names: Sequence[str]) -> None:
        write_outcome(folder, names[0], Outcome(0, str(tmp_path / "data"), ""))

    jobs = sweep("stage=data")
    assert jobs.run(launch) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'data'}\n{jobs.folder / 'table.csv'}\n"


def test_a_wide_table_repeats_what_was_swept() -> None:
    table = pd.DataFrame({"rpn": ["toy", "b"], "AR@10": [0.5, 0.25], "ms": [27, 8], "AR@100": 0.75})
    assert list(blocks(table, ["rpn"], width=15)) == [
        "rpn  AR@10  ms\ntoy  0.500  27\n  b  0.250   8",
        "rpn  AR@100\ntoy   0.750\n  b   0.750",
    ]
    assert list(blocks(table[["rpn"]], ["rpn"])) == ["rpn\ntoy\n  b"]


def test_the_same_command_has_the_same_folder(sweep: Make) -> None:
    assert sweep(*gammas()).folder == sweep(*gammas()).folder != sweep(*gammas("seed=1")).folder


# --- one job -------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job's overrides become the source of a Python program."""
    monkeypatch.setattr(
        sweep_job, "unidet_command", lambda code, attached: [sys.executable, "-c", code]
    )


def play(folder: Path, code: str) -> Outcome:
    write_job(folder, "000", "seed=1", [code])
    run_job(folder, "000", sweep_job.stop_name())
    return read_outcome(folder, "000")


def test_a_job_reports_the_last_line_it_printed(tmp_path: Path, command: None) -> None:
    assert play(tmp_path, "print('table'); print('/artefacts/rpn-1')") == Outcome(
        0, "/artefacts/rpn-1", ""
    )


def test_what_a_launcher_asks_of_hydra_is_not_asked_of_a_job(
    tmp_path: Path, command: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its error would be a traceback, and not the line that stands in the sweep's end."""
    write_job(tmp_path, "000", "seed=1", ["import os; print(os.environ['HYDRA_FULL_ERROR'])"])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    run_job(tmp_path, "000", sweep_job.stop_name())
    assert read_outcome(tmp_path, "000") == Outcome(0, "0", "")


def test_a_job_that_dies_says_why(tmp_path: Path, command: None) -> None:
    outcome = play(tmp_path, "import sys; print('unidet: no disk', file=sys.stderr); sys.exit(2)")
    assert outcome == Outcome(2, "", "no disk")
    killed = "import os; os.write(2, b'clip  cached'); os.kill(os.getpid(), 9)"
    # Its last line alone would be taken for the reason.
    said = f"a process was ended by signal 9: clip  cached (see {tmp_path / '000.log'})"
    assert play(tmp_path, killed) == Outcome(-signal.SIGKILL, "", said)


STOPPABLE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))
print("ready", file=sys.stderr, flush=True)
time.sleep(60)
"""


def test_a_request_to_stop_reaches_a_running_job(tmp_path: Path, command: None) -> None:
    def stop() -> None:
        log = tmp_path / "000.log"
        while not (log.exists() and "ready" in log.read_text()):
            time.sleep(0.02)
        (tmp_path / sweep_job.stop_name()).touch()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert play(tmp_path, STOPPABLE).status == EXIT_CODE
    stopper.join()


def test_after_a_request_to_stop_no_job_starts(
    tmp_path: Path, command: None, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / sweep_job.stop_name()).touch()
    assert play(tmp_path, "raise SystemExit(0)").status == EXIT_CODE
    assert capfd.readouterr().err == ""


def test_the_stop_of_another_sweep_of_the_same_command_stops_nothing(
    tmp_path: Path, command: None
) -> None:
    (tmp_path / "stop-another-1").touch()
    (tmp_path / "stop").touch()
    assert play(tmp_path, "print('/artefacts/rpn-1')").status == 0


def test_no_password_stays_in_the_folder_of_a_sweep(tmp_path: Path, command: None) -> None:
    code = "print('/artefacts/rpn-1') # remote=sftp://me:S3cret@cluster/data"
    write_job(tmp_path, "000", "seed=1", [code])
    assert (tmp_path / "000.json").stat().st_mode & 0o077 == 0
    run_job(tmp_path, "000", sweep_job.stop_name())
    assert read_outcome(tmp_path, "000").status == 0
    assert (tmp_path / "000.json").stat().st_mode & 0o777 == (
        tmp_path / "000.log"
    ).stat().st_mode & 0o777
    assert not any(b"S3cret" in path.read_bytes() for path in tmp_path.iterdir())


def test_a_job_without_a_password_is_for_all_who_share_the_store(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        write_job(tmp_path, "000", "seed=1", ["seed=1"])
    finally:
        os.umask(before)
    assert (tmp_path / "000.json").stat().st_mode & 0o777 == 0o664


def test_no_password_stays_where_no_job_was_run(sweep: Make) -> None:
    def broken(folder: Path, names: Sequence[str]) -> None:
        raise KeyboardInterrupt

    jobs = sweep("stage=data", "seed=1,2", "remote='sftp://me:S3cret@cluster/data'")
    with pytest.raises(KeyboardInterrupt):
        jobs.run(broken)
    texts = [path.read_text() for path in jobs.folder.iterdir()]
    assert any("me:***@cluster" in text for text in texts)
    assert not any("S3cret" in text for text in texts)


@pytest.mark.parametrize(
    "override",
    [
        "remote=sftp://me:S3cret@cluster/data",
        "+clip_embeddings.replacements.a=sftp://me:S3cret@cluster/a,sftp://me:S3cret@cluster/b",
    ],
)
def test_no_password_stands_in_labels_and_tables(
    sweep: Make, tmp_path: Path, capsys: pytest.CaptureFixture, override: str
) -> None:
    """Neither where nothing is varied, so that the whole command is a label, nor where it is."""
    jobs = sweep("stage=data", override)
    launcher = Launcher(tmp_path)
    assert jobs.run(launcher) == 0
    texts = [path.read_text() for path in jobs.folder.iterdir()]
    assert any("***" in text for text in texts)
    assert "S3cret" not in "".join([*texts, *capsys.readouterr(), str(launcher.waves)])


def test_a_sweep_that_finds_no_room_is_one_error(sweep: Make, tmp_path: Path) -> None:
    jobs = sweep("stage=data", "seed=1,2")
    with no_room(), pytest.raises(UserError, match="File too large"):
        jobs.run(Launcher(tmp_path))
    assert not [
        path for path in jobs.folder.parent.rglob("*") if path.is_file() and path.stat().st_size
    ]


@pytest.mark.parametrize("taken", ["sweeps", "the sweep", "its lock"])
def test_what_is_in_the_way_of_a_sweep_is_to_be_moved(
    sweep: Make, tmp_path: Path, taken: str
) -> None:
    """No repair of the store looks into the folders of sweeps."""
    jobs = sweep("stage=data", "seed=1,2")
    lock = jobs.folder / sweep_job.LOCK
    place = {"sweeps": jobs.folder.parent, "the sweep": jobs.folder, "its lock": lock}[taken]
    place.parent.mkdir(parents=True)
    lock.mkdir() if place == lock else place.touch()
    with pytest.raises(UserError, match=rf"belongs; move it elsewhere \(.*{place.name}\)$"):
        jobs.run(Launcher(tmp_path))


def test_no_file_of_a_sweep_is_written_to_where_a_link_leads(sweep: Make, tmp_path: Path) -> None:
    """A pipe in place of one would be waited for without end."""
    jobs = sweep("stage=data", "seed=1,2")
    jobs.folder.mkdir(parents=True)
    own = tmp_path / "own"
    own.write_text("mine")
    for name in ("000.json", "000.log", "001.outcome.json", "table.csv"):
        (jobs.folder / name).symlink_to(own)
    os.mkfifo(jobs.folder / "000.out")
    assert jobs.run(Launcher(tmp_path)) == 0
    assert own.read_text() == "mine"
    assert all(path.is_file() and not path.is_symlink() for path in jobs.folder.iterdir())


def test_a_half_written_outcome_is_a_failed_job(tmp_path: Path) -> None:
    (tmp_path / "000.outcome.json").write_text('{"status": 0, "arte')
    assert read_outcome(tmp_path, "000").status == 1


def test_a_signal_makes_the_stop_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupt, "_requested", threading.Event())
    file = tmp_path / "stop"
    file.touch()
    with interrupt.stop_file(file):
        assert not file.exists()
        interrupt._requested.set()
        deadline = time.monotonic() + 5
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    assert file.exists()


# --- the command ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_stopped_while_two_jobs_train_saves_both(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    log = tmp_path / "log"
    command = [
        *COMMAND, "-m",
        "stage=rpn", "seed=1,2,3", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
        *overrides, "rpn.training.steps=3000", f"store.root={tmp_path / 'store'}",
    ]  # fmt: skip
    with log.open("w") as written:
        sweep = subprocess.Popen(command, stderr=written, stdout=written)
    while sweep.poll() is None and "training rpn: " not in log.read_text():
        time.sleep(0.2)
    sweep.terminate()
    assert sweep.wait() == EXIT_CODE, log.read_text()
    assert log.read_text().count("unidet: saved after step") == 2
    assert len(list(tmp_path.glob("store/store/v1/work/*/checkpoint.safetensors"))) == 2


def test_no_password_stands_in_why_a_job_cannot_be_composed(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Hydra's own remedy repeats the whole argument."""
    jobs = Sweep([["stage=data", "+remote=sftp://me:S3cret@host/x"]], [], compose)
    assert jobs.run(Launcher(tmp_path)) == 2
    said = capsys.readouterr().err
    assert "remote=sftp://me:***@host/x" in said
    assert "S3cret" not in said
