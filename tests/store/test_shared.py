"""A store that several people of a group use, each with files that are not the others'."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.store.arrays import save_tensors
from unidet.store.gc import cleaning, drop, sweep
from unidet.store.hashing import key_of
from unidet.store.ingest import list_files
from unidet.store.live import in_use
from unidet.store.record import Action
from unidet.store.repair import repair
from unidet.store.store import Store
from unidet.store.verify import verify

Publish = Callable[..., Action]


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As fs.protected_hardlinks has it: no second name for a read-only file of somebody else."""
    link = os.link

    def refusing(source: Path, target: Path) -> None:
        if not os.stat(source).st_mode & 0o222:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(source))
        link(source, target)

    monkeypatch.setattr(os, "link", refusing)


@pytest.fixture
def group() -> Iterator[None]:
    before = os.umask(0o002)
    yield
    os.umask(before)


def test_what_has_no_room_for_another_link_is_copied(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ext4 counts 65,000 links: of a file that as many artefacts share."""
    action, link = publish({"model": b"weights"}), os.link

    def full(source: Path, target: Path) -> None:
        if store.layout.blobs in Path(source).parents:
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK), str(source))
        link(source, target)

    monkeypatch.setattr(os, "link", full)
    assert (store.folder(action) / "model").read_bytes() == b"weights"
    assert store.folder(action) == store.intact_folder(action)


def test_the_second_user_gets_copies(
    store: Store, publish: Publish, request: pytest.FixtureRequest
) -> None:
    action = publish({"model": b"weights"})
    request.getfixturevalue("no_links")
    folder = store.folder(action)
    copy = folder / "model"
    assert copy.read_bytes() == b"weights"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o444
    inode = copy.stat().st_ino
    store.folder(action)
    assert copy.stat().st_ino == inode
    for harm in (b"Weights", b"weigh"):
        copy.chmod(0o644)
        copy.write_bytes(harm)
        copy.chmod(0o444)
        assert (store.folder(action) / "model").read_bytes() == b"weights"


def test_what_another_user_dropped_comes_back(
    store: Store, publish: Publish, request: pytest.FixtureRequest
) -> None:
    action = publish({"model": b"weights"})
    blob = store.layout.blob(action.files["model"].sha256)
    store.layout.dropped_blobs.mkdir(parents=True)
    blob.rename(store.layout.dropped_blobs / blob.name)
    request.getfixturevalue("no_links")
    assert store.lookup(action.key) == action
    blob.rename(store.layout.dropped_blobs / blob.name)
    with cleaning(store):
        drop(store, [])
        sweep(store, 0.0, 0.0)
    assert store.lookup(action.key) == action
    assert verify(store).problems == ()


def test_the_group_may_write_what_all_write(store: Store, publish: Publish, group: None) -> None:
    action = publish({"model": b"weights"})
    store.log_run("rpn", action.key, "ran")
    with store.locked(action.key):
        pass
    shared = [*store.layout.runs.glob("*.jsonl"), store.layout.lock(action.key)]
    folders = [path for path in (store.root, *store.root.rglob("*")) if path.is_dir()]
    assert len(shared) == 2
    for path in (*shared, *folders):
        assert path.stat().st_mode & stat.S_IWGRP, path


def test_what_a_library_wrote_for_its_user_alone_is_for_all_who_read(
    store: Store, group: None
) -> None:
    preimage = {"schema": 1, "stage": "roi", "config": {}}
    key = key_of(preimage)
    out = store.draft(key)
    (out / "model").write_bytes(b"weights")
    os.chmod(out / "model", 0o600)
    began = time.time()
    action = store.publish(key, preimage, "roi", out, started=began, seconds=1.0, inputs={})
    assert stat.S_IMODE(store.layout.blob(action.files["model"].sha256).stat().st_mode) == 0o444


def test_tensors_are_for_whoever_may_read_a_new_file(tmp_path: Path, group: None) -> None:
    save_tensors(tmp_path / "model", {"a": np.zeros(2)})
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o664
    os.umask(0o077)
    save_tensors(tmp_path / "mine", {"a": np.zeros(2)})
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == 0o600


def closed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a folder of another user, who lets nobody else list it."""

    def refusing(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".") -> Any:
            if os.fspath(path) == os.fspath(folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
            return real(path)

        return call

    for name in ("listdir", "scandir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))


def clean(store: Store, action: Action) -> None:
    with cleaning(store):
        drop(store, [action])
        sweep(store, 0.0, 0.0)


@pytest.mark.parametrize("what", ["records", "marks"])
def test_nothing_goes_whose_use_cannot_be_known(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """What is not seen is not what is not there: content of unseen records was dropped."""
    action = publish({"model": b"weights"})
    with in_use(store.layout) as use:
        use(action.key)
        store.layout.record(action.key).parent.touch()  # no index knows the folder as it is now
        place = store.layout.record(action.key).parent if what == "records" else store.layout.runs
        with monkeypatch.context() as patch:
            closed(patch, place)
            with pytest.raises((UserError, PermissionError), match=place.name):
                clean(store, action)
            kinds = [(one.kind, store.layout.base / one.path) for one in verify(store).problems]
            assert kinds == [("unreadable", place)]
            assert repair(store, verify(store), None, use) == {}
        assert store.lookup(action.key) == action


def test_content_that_may_not_be_entered_is_named(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish({"model": b"weights"})
    lstat = os.lstat

    def refusing(path: Path) -> os.stat_result:
        if store.layout.blobs in Path(path).parents:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return lstat(path)

    closed(monkeypatch, store.layout.blobs)
    monkeypatch.setattr(os, "lstat", refusing)
    kinds = [(one.kind, store.layout.base / one.path) for one in verify(store).problems]
    assert kinds == [("unreadable", store.layout.blobs)]


def test_a_folder_that_cannot_be_listed_is_no_part_left_out(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stage's output: the artefact would be published without it."""
    out = store.draft("0" * 64)
    (out / "logs").mkdir()
    (out / "logs" / "log.csv").touch()
    closed(monkeypatch, out / "logs")
    with pytest.raises(PermissionError):
        list_files(out)


def test_files_that_some_disks_take_for_one_are_not_published(store: Store) -> None:
    out = store.draft("0" * 64)
    for name in ("loss.png", "Loss.png"):
        (out / name).touch()
    with pytest.raises(ValueError, match="are the same name on some disks"):
        list_files(out)


# --- two real users -----------------------------------------------------------------------------

GROUP, FIRST, SECOND, STRANGER = 54320, 54321, 54322, 54323
Acts = Callable[[int, str], list[str]]


@pytest.fixture
def acts() -> Iterator[Acts]:
    """acts(user, task): what two_users.py says, run as a user of the group."""
    if os.geteuid() != 0:
        pytest.skip("only root can be two users")
    place = Path(tempfile.mkdtemp())  # which pytest's own folders do not let others into
    place.chmod(0o2775)
    os.chown(place, -1, GROUP)
    script = Path(__file__).with_name("two_users.py")

    def run(user: int, task: str) -> list[str]:
        done = subprocess.run(
            [
                *(sys.executable, script, place / "outputs", task, str(user)),
                str(user if user == STRANGER else GROUP),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    yield run
    shutil.rmtree(place)


def test_two_users_of_a_group_share_a_store(acts: Acts) -> None:
    """The last line of each task: artefacts, logged runs, problems."""
    assert acts(FIRST, "make") == ["1 1 0"]
    assert acts(SECOND, "use and make") == ["weights 0", "2 3 0"]
    assert acts(FIRST, "use and make") == ["weights 0", "2 5 0"]
    assert acts(FIRST, "begin")[-1] == "2 5 0"
    assert acts(SECOND, "resume") == ["done by the first", "3 6 0"]


def test_either_user_cleans_up_after_the_other(acts: Acts) -> None:
    """What the second one drops of the first's waits for its time in the trash."""
    acts(FIRST, "make")
    trashed, freed, waiting = acts(SECOND, "clean")[0].split()
    assert (int(trashed) > 0, freed, int(waiting) > 0) == (True, "0", True)
    assert acts(FIRST, "make")[-1] == "1 2 0"
    acts(SECOND, "clean")
    assert acts(SECOND, "empty")[-1].split()[0] == "0"
    assert acts(SECOND, "make")[-1].split()[0] == "1"
    acts(FIRST, "clean")
    assert acts(FIRST, "empty")[0].split()[0] == "0"


def test_a_stranger_may_read(acts: Acts) -> None:
    acts(FIRST, "make")
    assert acts(STRANGER, "look") == ["weights 0", "1 1 0"]
