"""A store that several people of a group use, each with files that are not the others'."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from unidet.store.gc import cleaning, drop, sweep
from unidet.store.record import Action
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
