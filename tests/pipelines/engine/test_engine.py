"""Nothing is computed twice: proved by counting the calls of stages that do almost nothing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disks import fails_at
from studies import built, folder_of, same_code, state_of, whole

from unidet.backend import gpu, runtime
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine import acceptance, engine, graph, spent
from unidet.pipelines.engine.keys import preimage_of, siblings
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import Columns, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job, Sharding, Stage
from unidet.store.hashing import key_of

Make = Callable[..., Config]


class Counted:
    """Stands in for the real stages: data -> rpn -> proposals; counts runs, writes one file."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_at: str | None = None

    def stage(self, name: str, reads: tuple[str, ...], inputs: tuple[str, ...]) -> Stage:
        def run(job: Job) -> None:
            self.calls.append(name)
            (job.work / "begun").touch()
            if self.fail_at == name:
                raise RuntimeError("power cut")
            below = "".join((job.inputs[i] / "value").read_text() for i in inputs)
            (job.out / "value").write_text(f"{name}({below})")

        return Stage(name, 1, reads, run, inputs=lambda config, name: whole(*inputs))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counter = Counted()
    stages = {
        "data": counter.stage("data", ("data", "seed"), ()),
        "rpn": counter.stage("rpn", ("rpn",), ("data",)),
        "proposals": counter.stage("proposals", ("proposals",), ("rpn", "data")),
        "report": counter.stage("report", ("report",), ("proposals",)),
    }
    monkeypatch.setattr(graph, "STAGES", stages)
    same_code(monkeypatch, {"module": "code"})
    return counter


@pytest.mark.parametrize(
    ("overrides", "ahead"),
    [
        (["stage=proposals"], True),
        (["stage=data"], False),  # nothing after it, nothing to compile for
        (["stage=proposals", "remote=file:///nowhere"], False),
    ],
)
def test_jittor_is_compiled_while_the_data_are_made(
    overrides: list[str], ahead: bool, tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(
        runtime, "compiling_ahead", lambda device: nullcontext(begun.append(device))
    )
    monkeypatch.setitem(graph.STAGES, "data", replace(graph.STAGES["data"], tensors=False))
    built(tiny(*overrides, "runtime.device=cpu"))
    assert begun == (["cpu"] if ahead else [])
    built(tiny(*overrides, "runtime.device=cpu"))  # the data are there
    assert len(begun) == ahead


def test_a_gpu_that_is_not_there_is_told_before_the_data_are_made(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_gpu() -> None:
        raise gpu.NoGpu("no NVIDIA driver")

    monkeypatch.setattr(gpu, "find_cuda", no_gpu)
    monkeypatch.setitem(graph.STAGES, "data", replace(graph.STAGES["data"], tensors=False))
    with pytest.raises(UserError, match=r"^device=cuda: no NVIDIA driver; or use device=cpu"):
        built(tiny("stage=proposals", "runtime.device=cuda"))
    assert counted.calls == []
    built(tiny("stage=data", "runtime.device=cuda"))  # which needs none
    assert counted.calls == ["data"]


def test_a_compiler_that_is_missing_or_broken_is_told_before_the_data_are_made(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(graph.STAGES, "data", replace(graph.STAGES["data"], tensors=False))
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("cc_path", "g++-of-elsewhere")
    with pytest.raises(UserError, match=r"^no C\+\+ compiler: g\+\+-of-elsewhere was not found"):
        built(tiny("stage=proposals", "runtime.device=cpu"))
    broken = tmp_path / "g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 12.2.0 || exit 1\n')
    broken.chmod(0o755)
    monkeypatch.setenv("cc_path", str(broken))
    with pytest.raises(UserError, match=r"compiles no C\+\+14 \(exit status 1\)"):
        built(tiny("stage=proposals", "runtime.device=cpu"))
    assert counted.calls == []
    built(tiny("stage=data", "runtime.device=cpu"))  # which needs none
    assert counted.calls == ["data"]


@pytest.mark.parametrize("part", ["code", "inputs"])
def test_a_record_from_elsewhere_that_lacks_a_part_is_no_sibling(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, part: str
) -> None:
    """Nor one whose code may be accepted."""
    action = built(tiny("stage=data"))["data"].action
    store = engine.open_store(tiny())
    odd = {name: value for name, value in action.preimage.items() if name != part}
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "value").write_text("another")
    store.publish(key_of(odd), odd, "data", tmp_path / "out", started=0.0, name="")
    monkeypatch.setitem(graph.STAGES, "data", replace(graph.STAGES["data"], per_image=("images",)))
    assert list(siblings(Node("data"), dict(action.preimage), store, lambda *keys: None)) == (
        [store.folder(action)]
    )
    store.layout.record(action.key).unlink()
    with pytest.raises(UserError, match="no artefact differs from it in nothing but its code"):
        acceptance.accept("data", tiny())


def test_a_stage_without_tensors_gets_no_jittor(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage("data", 1, ("data",), run=lambda job: job.bring_up() and None, tensors=False)
    monkeypatch.setitem(graph.STAGES, "data", stage)
    with pytest.raises(RuntimeError, match="data brings Jittor up and says that it does not"):
        built(tiny("stage=data"))


def test_upstream_runs_first_and_once(tiny: Make, counted: Counted) -> None:
    done = built(tiny("stage=proposals"))
    assert counted.calls == ["data", "rpn", "proposals"]
    assert (done["proposals"].folder / "value").read_text() == "proposals(rpn(data())data())"


def test_the_same_again_computes_nothing(tiny: Make, counted: Counted) -> None:
    built(tiny("stage=proposals"))
    counted.calls.clear()
    done = built(tiny("stage=proposals"))
    assert counted.calls == []
    assert {result.how for result in done.values()} == {"cached"}


def test_nothing_is_made_from_what_the_disk_has_altered(tiny: Make, counted: Counted) -> None:
    """What has been made from it before stays."""
    value = built(tiny("stage=proposals"))["rpn"].folder / "value"
    value.chmod(0o644)
    value.write_bytes(bytes(value.stat().st_size))
    counted.calls.clear()
    assert built(tiny("stage=proposals"))["proposals"].how == "cached"
    with pytest.raises(UserError, match="rpn/value is not what was stored"):
        built(tiny("stage=proposals", "proposals.keep=7"))
    assert counted.calls == []
    assert state_of(tiny("stage=proposals", "proposals.keep=7"))["proposals"] == "stale"


def test_results_of_another_dataset_are_not_taken_over_when_altered(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = built(tiny("stage=data"))["data"]
    monkeypatch.setitem(graph.STAGES, "data", replace(graph.STAGES["data"], per_image=("images",)))
    value = done.folder / "value"
    value.chmod(0o644)
    value.write_bytes(bytes(value.stat().st_size))
    store = engine.open_store(tiny())
    with pytest.raises(UserError, match="data/value is not what was stored"):
        list(siblings(Node("data"), dict(done.action.preimage), store, lambda *keys: None))


def test_a_change_reruns_what_reads_it_and_what_follows(tiny: Make, counted: Counted) -> None:
    built(tiny("stage=proposals"))
    counted.calls.clear()
    built(tiny("stage=proposals", "proposals.keep=7"))
    assert counted.calls == ["proposals"]


def test_equal_output_upstream_stops_the_cascade(tiny: Make, counted: Counted) -> None:
    built(tiny("stage=proposals"))
    counted.calls.clear()
    built(tiny("stage=proposals", "rpn.network.alpha=0.9"))
    assert counted.calls == ["rpn"]


def test_the_entry_point_does_not_matter(tiny: Make, counted: Counted) -> None:
    built(tiny("stage=rpn"))
    built(tiny("stage=proposals"))
    assert counted.calls == ["data", "rpn", "proposals"]


def test_free_fields_change_no_key(tiny: Make, counted: Counted) -> None:
    built(tiny("stage=rpn"))
    built(tiny("stage=rpn", "rpn.training.loader_threads=1"))
    assert counted.calls == ["data", "rpn"]


def test_upstream_require_runs_nothing_upstream(tiny: Make, counted: Counted) -> None:
    with pytest.raises(UserError, match="data is not built, and upstream=require"):
        built(tiny("stage=rpn", "upstream=require"))
    assert counted.calls == []


def test_a_failed_stage_leaves_no_artefact_and_resumes(tiny: Make, counted: Counted) -> None:
    counted.fail_at = "rpn"
    with pytest.raises(RuntimeError):
        built(tiny("stage=rpn"))
    assert folder_of("rpn", tiny()) is None
    assert state_of(tiny())["rpn"] == "partial"
    counted.fail_at = None
    assert built(tiny("stage=rpn"))["rpn"].how == "resumed"


def test_seconds_count_every_attempt(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = graph.STAGES["data"].run

    def slow(job: Job) -> None:
        clock[0] += 100.0
        run(job)

    clock = [1_000_000.0]
    monkeypatch.setattr("unidet.pipelines.engine.engine.time.monotonic", lambda: clock[0])
    stage = Stage(name="data", version=1, reads=("data", "seed"), run=slow)
    monkeypatch.setitem(graph.STAGES, "data", stage)
    counted.fail_at = "data"
    for _ in range(2):
        with pytest.raises(RuntimeError):
            built(tiny("stage=data"))
    counted.fail_at = None
    assert built(tiny("stage=data"))["data"].action.seconds == 300.0


@pytest.mark.parametrize("text", ["nan", "inf", "-5.0", "", "1e400", "1e30", "soon"])
def test_what_is_no_time_is_not_added(tmp_path: Path, text: str) -> None:
    (tmp_path / spent.SECONDS_FILE).write_text(text)
    assert spent.earlier_seconds(tmp_path) == 0.0
    (tmp_path / spent.SECONDS_FILE).write_text("12.5")
    assert spent.earlier_seconds(tmp_path) == 12.5


def test_seconds_that_the_disk_gives_no_more_are_not_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / spent.SECONDS_FILE).write_text("12.5")
    fails_at(tmp_path / spent.SECONDS_FILE, monkeypatch)
    assert spent.earlier_seconds(tmp_path) == 0.0


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_of_seconds_stops_nothing(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / spent.SECONDS_FILE)
    assert spent.earlier_seconds(tmp_path) == 0.0
    spent.remember_seconds(tmp_path, 1.5)
    assert spent.earlier_seconds(tmp_path) == (1.5 if make is os.mkfifo else 0.0)


def test_a_clock_set_back_while_a_stage_runs(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an hour: the artefact is built, and answers the next command."""
    now = time.time
    run = graph.STAGES["data"].run

    def set_back(job: Job) -> None:
        monkeypatch.setattr("time.time", lambda: now() - 3600)
        run(job)

    stage = Stage(name="data", version=1, reads=("data", "seed"), run=set_back)
    monkeypatch.setitem(graph.STAGES, "data", stage)
    assert 0 <= built(tiny("stage=data"))["data"].action.seconds < 600
    assert built(tiny("stage=data"))["data"].how == "cached"


def test_a_stage_that_left_nothing_is_not_resumed(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(job: Job) -> None:
        raise RuntimeError("at once")

    stage = Stage(name="data", version=1, reads=("data", "seed"), run=fails)
    monkeypatch.setitem(graph.STAGES, "data", stage)
    with pytest.raises(RuntimeError):
        built(tiny("stage=data"))
    assert state_of(tiny())["data"] == "missing"


def test_status_tells_fresh_stale_and_missing(tiny: Make, counted: Counted) -> None:
    built(tiny("stage=rpn"))
    states = state_of(tiny("rpn.network.alpha=0.9"))
    assert states == {"data": "fresh", "rpn": "stale", "proposals": "missing", "report": "missing"}


def test_a_stage_gets_only_what_it_declares(tiny: Make, counted: Counted) -> None:
    def greedy(job: Job) -> None:
        job.config.roi  # noqa: B018

    graph.STAGES["rpn"] = Stage(name="rpn", version=1, reads=("rpn",), run=greedy)
    with pytest.raises(AttributeError, match="reads 'roi' without declaring it"):
        built(tiny("stage=rpn"))


@pytest.mark.parametrize("name", ["store", "store/v1"])
@pytest.mark.parametrize("open_it", [engine.open_store, engine.existing_store])
def test_a_file_in_place_of_the_store_is_named_to_whoever_opens_it(
    name: str, open_it: Callable[[Config], object], tiny: Make
) -> None:
    """To repair is no advice there: nothing is stored."""
    place = Path(tiny().store.root) / name
    place.parent.mkdir(parents=True)
    place.touch()
    with pytest.raises(UserError, match=rf"{name} is not a folder, where the store needs one; mov"):
        open_it(tiny())


def test_path_of_an_unknown_stage_lists_the_stages(tiny: Make, counted: Counted) -> None:
    with pytest.raises(UserError, match="there are data, rpn"):
        folder_of("rnp", tiny())


def test_path_is_the_folder_of(tiny: Make, counted: Counted) -> None:
    done = built(tiny("stage=data"))
    folder = folder_of("data", tiny())
    assert folder == done["data"].folder
    assert isinstance(folder, Path)


def test_a_waiter_says_whom_it_waits_for(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process holds the stage's lock; it is let go once the waiter has said so."""
    config = tiny("stage=data")
    store = engine.open_store(config)
    key = key_of(preimage_of(Node("data"), config, store, {}))
    script = (
        "import sys, time; from pathlib import Path; from unidet.store.store import Store\n"
        "with Store(Path(sys.argv[1])).locked(sys.argv[2]):\n"
        "    print('held', flush=True); time.sleep(600)"
    )
    arguments = [sys.executable, "-c", script, str(store.root), key]
    said: list[str] = []
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as owner:

        def say(text: str) -> None:
            said.append(text)
            owner.kill()

        try:
            assert owner.stdout is not None
            assert owner.stdout.readline() == "held\n"
            assert state_of(config)["data"] == "running"
            monkeypatch.setattr(engine, "say", say)
            built(config)
        finally:
            owner.kill()
    assert said[0].startswith(f"  data: waits for process {owner.pid} on ")
    assert counted.calls == ["data"]


def test_shards_outlive_what_fails_after_them(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that is full once they are gathered; and what was written beside them goes."""
    plan = ShardSet("images", images=3, per_shard=1)
    made: list[int] = []

    def results(rows: Sequence[int]) -> Iterator[tuple[int, Columns]]:
        made.extend(rows)
        return ((row, {"scores": np.array([row])}) for row in rows)

    def fill(job: Job) -> None:
        plan.fill(job.work, results, lambda row: bytes(32), job.progress("shards"))

    def run(job: Job) -> None:
        plan.gather(job.work, job.out)
        (job.out / "half").write_bytes(b"of a file")
        if counted.fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")  # as `write` says it

    sharding = Sharding(lambda job: plan, fill, lambda config: 1)
    stage = Stage("data", 1, ("data",), run=run, sharding=sharding, tensors=False)
    monkeypatch.setitem(graph.STAGES, "data", stage)
    counted.fail_at = "data"
    with pytest.raises(OSError, match="No space left") as caught:
        built(tiny("stage=data"))
    assert str(tiny().store.root) in str(caught.value)
    work = engine.open_store(tiny()).layout.base / "work"
    (left,) = work.iterdir()
    assert "." not in left.name, "a draft stays and fills the disk"
    counted.fail_at = None
    done = built(tiny("stage=data"))
    assert made == [0, 1, 2]
    assert done["data"].how == "resumed"
    assert len(Sharded(done["data"].folder / "images")) == 3
    assert list(work.iterdir()) == []


def test_results_that_are_taken_over_are_marked_as_used(
    tiny: Make, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before they are looked up, so that no clean-up takes them away meanwhile."""
    sibling = built(tiny("stage=data"))["data"].action
    store, marked = engine.open_store(tiny()), []
    lookup = store.lookup
    monkeypatch.setattr(store, "lookup", lambda key: marked.append(f"look {key}") or lookup(key))
    monkeypatch.setitem(graph.STAGES, "data", replace(graph.STAGES["data"], per_image=("images",)))
    folders = siblings(Node("data"), dict(sibling.preimage), store, marked.append)
    assert list(folders) == [store.folder(sibling)]
    assert marked == [sibling.key, f"look {sibling.key}"]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_stays_of_a_file_that_changes_while_it_is_read(
    fails: bool, tiny: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The key is of the content before: neither an artefact nor unfinished work is of another."""
    file, during = tmp_path / "labels.json", ["new"]
    file.write_text("old")

    def run(job: Job) -> None:
        file.write_text(during.pop() if during else file.read_text())
        (job.work / "read").write_text(file.read_text())
        (job.out / "value").write_text(file.read_text())
        if fails and file.read_text() == "new":
            raise RuntimeError("power cut")

    stage = Stage("data", 1, (), run, files=lambda config, name: {"labels": file})
    monkeypatch.setattr(graph, "STAGES", {"data": stage})
    same_code(monkeypatch, {"module": "code"})
    with pytest.raises(
        RuntimeError if fails else UserError, match=r"power cut|labels\.json: changed"
    ):
        built(tiny("stage=data"))
    layout = engine.open_store(tiny()).layout
    assert not [*layout.actions.glob("*/*")]
    assert not [*(layout.base / "work").iterdir()]
    file.write_text("old")
    done = built(tiny("stage=data"))["data"]
    assert (done.how, (done.folder / "value").read_text()) == ("ran", "old")


def test_a_file_that_changes_after_long_work_has_read_it_changes_nothing(
    tiny: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "weights"
    file.write_text("old")

    def run(job: Job) -> None:
        (job.out / "value").write_text(file.read_text())
        job.unchanged()
        file.write_text("new")

    stage = Stage("data", 1, (), run, files=lambda config, name: {"weights": file})
    monkeypatch.setattr(graph, "STAGES", {"data": stage})
    same_code(monkeypatch, {"module": "code"})
    assert (built(tiny("stage=data"))["data"].folder / "value").read_text() == "old"
