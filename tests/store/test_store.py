"""What the store promises about artefacts: whole or absent, read-only, found again, repaired."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.store.live import in_use
from unidet.store.record import Action
from unidet.store.store import Store, key_of

Publish = Callable[..., Action]

FILES = {"model.safetensors": b"weights", "logs/log.csv": b"step,loss\n"}


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def blob_of(store: Store, sha256: str) -> Path:
    return store.layout.blob(sha256)


def test_making_a_store_touches_no_disk(tmp_path: Path) -> None:
    assert Store(tmp_path / "new").lookup("0" * 64) is None
    assert list(tmp_path.iterdir()) == []


def test_what_was_published_is_found_by_its_key(store: Store, publish: Publish) -> None:
    action = publish(FILES, seed=1)
    assert store.lookup(action.key) == action
    assert store.lookup(key_of({"another": "preimage"})) is None
    assert content(store.folder(action)) == FILES
    assert action.size == 7 + 10


def test_an_artefact_may_be_empty(store: Store, publish: Publish) -> None:
    action = publish({})
    assert store.lookup(action.key) == action
    assert content(store.folder(action)) == {}


def test_files_are_read_only_and_stored_once(store: Store, publish: Publish) -> None:
    action = publish({"a": b"same", "b": b"same"})
    folder = store.folder(action)
    blob = blob_of(store, action.files["a"].sha256)
    assert stat.S_IMODE(blob.stat().st_mode) & 0o222 == 0
    assert os.path.samefile(folder / "a", blob)
    assert os.path.samefile(folder / "b", blob)


def test_publishing_leaves_nothing_behind(store: Store, publish: Publish) -> None:
    action = publish(FILES)
    for name in ("work", "trash"):
        assert list((store.layout.base / name).iterdir()) == []
    assert sorted(path.name for path in store.layout.actions.rglob("*.*")) == [f"{action.key}.json"]


def test_everything_is_on_the_disk_before_the_record_is(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    before_record: list[int] = []
    sync, link = os.fsync, os.link

    def syncing(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        sync(descriptor)

    def linking(source: Path, target: Path) -> None:
        before_record.extend([*synced, -os.stat(source).st_ino])
        synced.clear()
        link(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "link", linking)
    action = publish(FILES)
    blobs = [blob_of(store, file.sha256) for file in action.files.values()]
    record = store.layout.record(action.key)
    for path in (*blobs, *(blob.parent for blob in blobs), blobs[0].parent.parent, record):
        assert path.stat().st_ino in before_record, path
    assert before_record[-1] == -record.stat().st_ino
    assert record.parent.stat().st_ino in synced


def test_a_key_must_belong_to_its_preimage(store: Store) -> None:
    key = key_of({"a": 1})
    with pytest.raises(ValueError, match="is not the key of this preimage"):
        store.publish(key, {"a": 2}, "rpn", store.draft(key), started=0.0)


def test_only_plain_files_are_published(store: Store, tmp_path: Path) -> None:
    preimage = {"a": 1}
    out = store.draft(key_of(preimage))
    (out / "link").symlink_to(tmp_path)
    (out / "secret").symlink_to("/etc/hostname")
    with pytest.raises(ValueError, match="is not a regular file"):
        store.publish(key_of(preimage), preimage, "rpn", out, started=0.0)
    assert store.lookup(key_of(preimage)) is None


def test_a_file_that_somebody_else_has_too_is_copied(store: Store, tmp_path: Path) -> None:
    mine = tmp_path / "mine.jpg"
    mine.write_bytes(b"pixels")
    preimage = {"a": 1}
    out = store.draft(key_of(preimage))
    os.link(mine, out / "image.jpg")
    action = store.publish(key_of(preimage), preimage, "data", out, started=0.0)
    assert content(store.folder(action)) == {"image.jpg": b"pixels"}
    assert list((store.layout.base / "work").iterdir()) == []
    mine.write_bytes(b"edited")
    assert content(store.folder(action)) == {"image.jpg": b"pixels"}
    assert stat.S_IMODE(mine.stat().st_mode) & 0o200


def test_nothing_of_unfinished_work_leads_elsewhere_or_waits(store: Store, tmp_path: Path) -> None:
    """A task or a log written through a link would replace a file of somebody; a pipe waits."""
    precious = tmp_path / "mine" / "log"
    precious.parent.mkdir()
    precious.write_text("mine")
    key = key_of({"a": 1})
    work = store.work(key)
    (work / "processes").mkdir()
    (work / "processes" / "kept").touch()
    os.mkfifo(work / "task.json")
    os.mkfifo(work / "processes" / "0.log")
    (work / "processes" / "1.log").symlink_to(precious)
    (work / "shards").symlink_to(precious.parent)
    (work / "loop").symlink_to("loop")
    store.work(key)
    assert [path.relative_to(work).as_posix() for path in sorted(work.rglob("*"))] == [
        "processes",
        "processes/kept",
    ]
    shutil.rmtree(work)
    work.symlink_to(precious.parent)
    with pytest.raises(UserError, match="is a link, where the store needs a folder; remove"):
        store.work(key)
    assert precious.read_text() == "mine"


# --- hits, misses, repairs ---------------------------------------------------------------------


def test_without_its_content_a_record_is_no_hit(store: Store, publish: Publish) -> None:
    action = publish(FILES)
    blob_of(store, action.files["model.safetensors"].sha256).unlink()
    assert store.lookup(action.key) is None
    with pytest.raises(UserError, match="content of this artefact is missing"):
        store.folder(action)


def test_content_of_another_size_is_no_hit(store: Store, publish: Publish) -> None:
    action = publish(FILES)
    blob = blob_of(store, action.files["model.safetensors"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"wei")
    assert store.lookup(action.key) is None
    publish(FILES)
    assert content(store.folder(action)) == FILES


def test_running_again_brings_lost_content_back(store: Store, publish: Publish) -> None:
    action = publish(FILES)
    blob_of(store, action.files["model.safetensors"].sha256).unlink()
    again = publish(FILES)
    assert again == action  # the first record stands, with its times
    assert store.lookup(action.key) == action
    assert again.nondeterminism == ()


def test_the_second_writer_loses_and_the_difference_is_kept(store: Store, publish: Publish) -> None:
    first = publish({"model": b"one"})
    second = publish({"model": b"two"})
    assert second.output == first.output
    assert content(store.folder(second)) == {"model": b"one"}
    # printf '[["model","%s",3]]' "$(printf two | sha256sum | cut -c1-64)" | sha256sum
    two = "df7c75e876acb120c2cdfeea442816b84171b1eee57223d82f2a9db09f655400"
    assert store.lookup(first.key).nondeterminism == (two,)  # type: ignore[union-attr]
    publish({"model": b"two"})
    assert store.lookup(first.key).nondeterminism == (two,)  # type: ignore[union-attr]


def test_a_record_whose_content_is_lost_gives_way(store: Store, publish: Publish) -> None:
    first = publish({"model": b"one"})
    blob_of(store, first.files["model"].sha256).unlink()
    second = publish({"model": b"two"})
    assert second.output != first.output
    assert second.nondeterminism == (first.output,)
    assert store.lookup(first.key) == second


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b'{"format": 1}'])
def test_a_damaged_record_is_no_record(store: Store, publish: Publish, damage: bytes) -> None:
    action = publish(FILES)
    store.layout.record(action.key).write_bytes(damage)
    assert store.lookup(action.key) is None
    assert list(store.actions()) == []
    publish(FILES)
    assert content(store.folder(store.lookup(action.key))) == FILES  # type: ignore[arg-type]


def test_a_record_under_another_key_is_no_record(store: Store, publish: Publish) -> None:
    one, two = publish(FILES, seed=1), publish(FILES, seed=2)
    store.layout.record(two.key).write_bytes(store.layout.record(one.key).read_bytes())
    assert store.lookup(two.key) is None


# --- the folder people see ---------------------------------------------------------------------


def test_the_folder_is_named_by_stage_and_output(store: Store, publish: Publish) -> None:
    action = publish({"a/hello.txt": b"hello", "empty": b""}, stage="data")
    assert store.folder(action) == store.root / "artefacts" / "data-6209a67bd0c2"


def test_a_deleted_or_damaged_folder_is_made_again(store: Store, publish: Publish) -> None:
    action = publish(FILES)
    folder = store.folder(action)
    (folder / "logs/log.csv").unlink()
    (folder / "logs").rmdir()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(b"forged!")
    assert content(store.folder(action)) == FILES
    for path in list(folder.rglob("*.*")):
        path.unlink()
    (folder / "logs").rmdir()
    folder.rmdir()
    assert content(store.folder(action)) == FILES
    assert list((store.layout.base / "work").iterdir()) == []


def test_a_stranger_in_the_folder_is_named(store: Store, publish: Publish) -> None:
    action = publish(FILES)
    (store.folder(action) / ".DS_Store").write_bytes(b"harmless")
    store.folder(action)
    (store.folder(action) / "shard-9.npz").write_bytes(b"x")
    with pytest.raises(UserError, match=r"shard-9.npz is not part of this artefact"):
        store.folder(action)


@pytest.mark.parametrize("name", ["", "deep", "deep/deeper"])
def test_nothing_is_written_where_a_link_in_the_folder_leads(
    store: Store, publish: Publish, tmp_path: Path, name: str
) -> None:
    action = publish({"deep/deeper/a": b"1"})
    link = store.folder(action) / name
    shutil.rmtree(link)
    own = tmp_path / "own" / "deep/deeper/a".removeprefix(name).lstrip("/")
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    link.symlink_to(tmp_path / "own")
    with pytest.raises(UserError, match="is a link in place of a folder of this artefact"):
        store.folder(action)
    assert own.read_text() == "mine"


def test_a_link_to_itself_in_place_of_the_folder_is_named(store: Store, publish: Publish) -> None:
    folder = store.folder(publish(FILES))
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)
    with pytest.raises(UserError, match="is a link in place of a folder of this artefact"):
        store.folder(publish(FILES))


def test_a_folder_in_place_of_a_file_of_the_artefact_is_named(
    store: Store, publish: Publish
) -> None:
    """Neither `verify --repair` nor another run would take it away."""
    action = publish({"deep/a": b"1"})
    place = store.folder(action) / "deep/a"
    place.unlink()
    place.mkdir()
    with pytest.raises(UserError, match=r"deep/a is a folder in place of a file of this artefact"):
        store.folder(action)
    assert list((store.layout.base / "work").iterdir()) == []


def test_a_finished_artefact_is_used_without_writing(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = publish(FILES)
    store.folder(action)
    for name in ("mkdir", "rename", "replace", "link", "unlink", "write"):
        monkeypatch.setattr(os, name, _failing(errno.EROFS))
    found = store.lookup(action.key)
    assert found is not None
    assert content(store.folder(found)) == FILES


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf"), 2.0**63])
def test_what_is_no_duration_counts_as_none(store: Store, publish: Publish, seconds: float) -> None:
    action = publish(FILES, seconds=seconds)
    found = store.lookup(action.key)
    assert found is not None
    assert found.seconds == 0.0


def test_a_record_that_could_not_be_read_again_is_not_published(store: Store) -> None:
    preimage = {"stage": "data", "config": {}}
    key = key_of(preimage)
    with pytest.raises(ValueError, match="cannot be printed"):
        store.publish(key, preimage, "data", store.draft(key), name="a\u200cb", started=time.time())
    assert not store.layout.record(key).exists()


# --- work and drafts ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "below"])
def test_a_file_in_place_of_work_is_none(store: Store, place: str) -> None:
    key = key_of({"schema": 1, "stage": "rpn", "config": {}})
    odd = store.layout.work(key) if place else store.layout.work(key).parent
    odd.parent.mkdir(parents=True, exist_ok=True)
    odd.write_text("of someone")
    assert not store.has_work(key)


def test_work_is_kept_until_the_key_is_published(store: Store, publish: Publish) -> None:
    key = key_of({"schema": 1, "stage": "rpn", "config": {}})
    assert not store.has_work(key)
    work = store.work(key)
    assert not store.has_work(key)
    (work / "checkpoint").write_bytes(b"step 7")
    assert store.has_work(key)
    assert (store.work(key) / "checkpoint").read_bytes() == b"step 7"
    assert publish(FILES).key == key
    assert not work.exists()


def test_drafts_of_the_dead_are_removed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = key_of({"a": 1}), key_of({"a": 2})
    living = store.draft(key)
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    monkeypatch.setattr(os, "getpid", lambda: child)
    dead, of_another_key = store.draft(key), store.draft(other)
    monkeypatch.undo()
    newest = store.draft(key)
    assert not dead.exists()
    assert living.is_dir()
    assert newest.is_dir()
    assert of_another_key.is_dir()


# --- records -----------------------------------------------------------------------------------


def test_actions_come_newest_first(store: Store, publish: Publish) -> None:
    keys = [publish(FILES, stage=stage, seed=3).key for stage in ("rpn", "roi", "data")]
    assert [action.key for action in store.actions()] == keys[::-1]
    assert [action.key for action in store.actions("roi")] == [keys[1]]
    assert list(store.actions("clip")) == []


def test_actions_are_found_without_reading_all_records(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpn, roi = publish(FILES, stage="rpn"), publish(FILES, stage="roi")
    for action in (rpn, roi):
        folder = store.layout.record(action.key).parent
        os.utime(folder, (1e9, 1e9))  # long ago, so that the index may be trusted
    assert list(store.actions()) == [roi, rpn]
    read: list[str] = []
    plain = os.open

    def opening(path: Path, *arguments: int) -> int:
        read.append(path.name)
        return plain(path, *arguments)

    monkeypatch.setattr(os, "open", opening)
    assert next(store.actions("rpn")) == rpn
    assert read == ["actions", f"{rpn.key}.json"]
    store.layout.record(rpn.key).unlink()
    assert list(store.actions()) == [roi]


def test_new_actions_are_seen_at_once(store: Store, publish: Publish) -> None:
    first = publish(FILES, seed=0)
    folder = store.layout.record(first.key).parent
    preimages = ({"schema": 1, "stage": "rpn", "config": {"seed": seed}} for seed in range(1, 9999))
    keys = {p["config"]["seed"]: key_of(p) for p in preimages}  # type: ignore[index]
    same_folder = (seed for seed, key in keys.items() if key[:2] == first.key[:2])

    os.utime(folder, (1e9, 1e9))
    assert list(store.actions()) == [first]
    second = publish(FILES, seed=next(same_folder))
    assert list(store.actions()) == [second, first]

    now = time.time_ns()  # two records within one tick of the clock
    os.utime(folder, ns=(now, now))
    assert list(store.actions()) == [second, first]
    third = publish(FILES, seed=next(same_folder))
    os.utime(folder, ns=(now, now))
    assert list(store.actions()) == [third, second, first]


def test_a_record_tells_where_the_artefact_came_from(store: Store, publish: Publish) -> None:
    upstream = publish(FILES, stage="data")
    preimage = {"stage": "rpn", "config": {"lr": 0.02}, "inputs": {"data": upstream.output}}
    key, started = key_of(preimage), time.time() - 60
    action = store.publish(
        key,
        preimage,
        "rpn",
        store.draft(key),
        started=started,
        inputs={"data": upstream},
        modules={"unidet.pipelines.stages.rpn": "0" * 64},
    )
    assert store.lookup(key) == action
    assert action.inputs == {"data": upstream.key}
    assert action.preimage == preimage
    assert action.modules == {"unidet.pipelines.stages.rpn": "0" * 64}
    assert 60 <= action.seconds < 90
    assert action.started < action.finished
    assert action.started.endswith("+00:00")
    assert action.pid == os.getpid()
    assert action.peak_rss > 1_000_000
    assert "numpy" in action.freeze


def test_runs_are_remembered_newest_first(store: Store) -> None:
    one, two = key_of({"a": 1}), key_of({"a": 2})
    store.log_run("rpn", one, "ran")
    store.log_run("roi", two, "resumed")
    store.log_run("rpn", one, "cached")
    assert [(run.stage, run.key, run.how) for run in store.runs()] == [
        ("rpn", one, "cached"),
        ("roi", two, "resumed"),
        ("rpn", one, "ran"),
    ]
    assert [run.how for run in store.runs("roi")] == ["resumed"]


def test_a_run_is_logged_whole_where_the_disk_takes_few_bytes_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, key = os.write, key_of({"a": 1})
    monkeypatch.setattr("os.write", lambda descriptor, data: write(descriptor, data[:7]))
    store.log_run("rpn", key, "ran")
    assert [run.key for run in store.runs()] == [key]


def test_a_run_cut_off_by_a_crash_spoils_no_other(store: Store) -> None:
    key = key_of({"a": 1})
    store.log_run("rpn", key, "ran")
    (log,) = store.layout.runs.iterdir()
    log.write_bytes(log.read_bytes() + b'\n{"stage": "roi", "ke')
    store.log_run("rpn", key, "cached")
    assert [run.how for run in store.runs()] == ["cached", "ran"]


# --- what is not a digest, and disks that fail -------------------------------------------------


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_digest_becomes_part_of_a_path(store: Store, key: str) -> None:
    for use in (store.lookup, store.work, store.draft):
        with pytest.raises(ValueError, match="is not a sha256 digest"):
            use(key)


@pytest.mark.parametrize(
    ("fails", "fault", "message"),
    [
        ("link", errno.EPERM, "is on a file system without hard links"),
        ("chmod", errno.ENOSYS, "or without permissions of files; choose another"),
    ],
)
def test_a_place_without_hard_links_is_told_before_the_work(
    store: Store, monkeypatch: pytest.MonkeyPatch, fails: str, fault: int, message: str
) -> None:
    """A drive of exFAT, a share; a store of which a link leads a part to another disk."""

    def failing(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    key = key_of({"a": 1})
    store.draft(key).rmdir()
    monkeypatch.setattr(os, fails, failing)
    with pytest.raises(UserError, match=message):
        store.draft(key)
    assert os.listdir(store.layout.base / "work") == []


def test_artefacts_and_store_on_two_disks(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=shm) as disk:
        (tmp_path / "store").symlink_to(disk)
        with pytest.raises(UserError, match="artefacts is on another file system than"):
            Store(tmp_path).draft(key_of({"a": 1}))


def _failing(number: int):  # type: ignore[no-untyped-def]
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), "somewhere")

    return fail


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "is on a full disk; free some space"),
        (errno.EROFS, "is read-only; choose another"),
        (errno.EACCES, "is not readable or not writable for this user"),
        (errno.EDQUOT, "has used up its disk quota"),
    ],
)
@pytest.mark.parametrize("step", ["fsync", "mkdir", "link"])
def test_a_disk_that_fails_gives_one_clear_line(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int, says: str, step: str
) -> None:
    preimage = {"a": 1}
    key = key_of(preimage)
    (store.work(key) / "checkpoint").write_bytes(b"hours of work")
    out = store.draft(key)
    (out / "model").write_bytes(b"weights")
    with monkeypatch.context() as failing:
        failing.setattr(os, step, _failing(number))
        with pytest.raises(UserError, match=says) as caught:
            store.publish(key, preimage, "rpn", out, started=0.0)
    assert str(store.root) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert store.lookup(key) is None
    assert (store.work(key) / "checkpoint").read_bytes() == b"hours of work"


@pytest.mark.parametrize("step", ["fsync", "write", "flock"])
def test_an_error_of_an_open_file_names_it(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The system gives no name with it, so the line named no path."""

    def fail(*arguments: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    publish({"a": b"1"})
    store.log_run("rpn", "0" * 64, "ran")
    with in_use(store.layout) as use:
        monkeypatch.setattr(fcntl if step == "flock" else os, step, fail)
        work: dict[str, Callable[[], object]] = {
            "fsync": lambda: publish({"a": b"2"}, seed=1),
            "write": lambda: use("0" * 64),
            "flock": lambda: in_use(store.layout).__enter__(),
        }
        with pytest.raises(UserError, match=rf"Input/output error \({store.root}/store/v1/\w+"):
            work[step]()
        if step == "write":
            with pytest.raises(UserError, match=r"error \(.*/refs/runs/.*\.jsonl\)"):
                store.log_run("rpn", "0" * 64, "ran")
        monkeypatch.undo()


def test_any_other_error_of_the_disk_is_one_line_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", _failing(errno.EIO))
    with pytest.raises(UserError, match=r"cannot be used: Input/output error \(somewhere\)"):
        store.work(key_of({"a": 1}))


def test_a_store_that_may_only_be_read_keeps_no_log(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "mkdir", _failing(errno.EROFS))
    store.log_run("rpn", key_of({"a": 1}), "cached")
    assert list(store.runs()) == []
