"""Every verb that writes says in one line why it cannot, and loses nothing."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from disks import no_room

from unidet.errors import UserError
from unidet.store import accepted, runs
from unidet.store.gc import cleaning, drop, sweep
from unidet.store.gc_plan import plan
from unidet.store.live import in_use
from unidet.store.pins import pin
from unidet.store.record import Action
from unidet.store.remote import Remote
from unidet.store.store import Store
from unidet.store.transfer import fetch, push
from unidet.store.verify import verify

Publish = Callable[..., Action]
FILES = {"model": b"weights" * 1000, "log": b"step\n"}


def clean(store: Store, action: Action) -> None:
    with cleaning(store):
        drop(store, [one.action for one in plan(store, keep_last=0).drops])
        sweep(store, 0.0, 0.0)


def keep(store: Store, action: Action) -> None:
    pin(store.layout, action)


def accept(store: Store, action: Action) -> None:
    accepted.accept(store.layout, "rpn", "1" * 64, "2" * 64)


def bring_back(store: Store, action: Action) -> None:
    """From a remote, after it was lost here."""
    with in_use(store.layout) as use:
        fetch(store, Remote(str(store.root.parent / "remote")), action.key, use)


VERBS = {
    "gc": (clean, "replace"),
    "pin": (keep, "link"),
    "accept": (accept, "replace"),
    "fetch": (bring_back, "fsync"),
}


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "is on a full disk; free some space"), (errno.EROFS, "is read-only; choose")],
)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_cannot_write_says_so(
    store: Store,
    publish: Publish,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    number: int,
    says: str,
) -> None:
    do, step = VERBS[verb]
    action = publish(FILES)
    folder = store.folder(action)
    push(store, Remote(str(store.root.parent / "remote")), [action])
    if verb == "fetch":
        store.layout.blob(action.files["model"].sha256).unlink()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(number, os.strerror(number), "somewhere")

    with monkeypatch.context() as failing:
        failing.setattr(os, step, fail)
        with pytest.raises(UserError, match=says) as caught:
            do(store, action)
    assert "\n" not in str(caught.value)
    assert f"store {store.root}" in str(caught.value)
    do(store, action)
    if verb == "gc":
        assert not folder.exists()
    else:
        assert store.lookup(action.key) == action
    assert verify(store).problems == ()
    assert list((store.layout.base / "work").iterdir()) == []


def test_a_clean_up_that_stops_half_way_keeps_what_it_did_not_reach(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its second record cannot be moved: the first is in the trash, the second is whole."""
    one, two = publish({"a": b"1"}, seconds=1.0, seed=1), publish({"a": b"2"}, seconds=2.0, seed=2)
    replace, calls = os.replace, iter([True, False])

    def failing(source: Path, target: Path) -> None:
        if str(source).endswith(".json") and not next(calls):
            raise OSError(errno.EROFS, "Read-only file system", str(source))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(UserError, match="is read-only"):
            clean(store, one)
    assert store.lookup(one.key) is None
    assert store.lookup(two.key) == two
    assert verify(store).problems == ()


def test_a_push_to_a_full_disk_names_what_could_not_be_written(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    """Not the content here, which Python names first: its disk is not the one that is full."""
    action = publish(FILES)
    remote = Remote(str(tmp_path / "remote"))
    with no_room(100), pytest.raises(UserError) as caught:
        push(store, remote, [action])
    assert f": {remote.layout.base}/work/" in str(caught.value)
    assert str(store.root) not in str(caught.value)


def test_a_push_names_the_full_disk_of_temporary_files(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    action = publish({"small": b"1"})
    assert store.layout.record(action.key).stat().st_size > 500
    with no_room(500), pytest.raises(OSError, match=tempfile.gettempdir()):
        push(store, Remote(str(tmp_path / "remote")), [action])


def test_a_push_to_a_full_disk_leaves_no_half_of_anything(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    action = publish(FILES)
    remote = Remote(str(tmp_path / "remote"))
    put = type(remote._system).put_file

    def full(self: object, source: str, target: str, **options: object) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:100])
        raise OSError(errno.ENOSPC, "No space left on device", target)

    with monkeypatch.context() as patch:
        patch.setattr(type(remote._system), "put_file", full)
        with pytest.raises(UserError, match=r"remote .*: .*No space left on device") as caught:
            push(store, remote, [action])
    assert "\n" not in str(caught.value)
    assert Store(tmp_path / "remote").lookup(action.key) is None
    assert not [path for path in (tmp_path / "remote").rglob("*") if path.is_file()]
    assert verify(Store(tmp_path / "remote")).problems == ()
    assert put is type(remote._system).put_file
    push(store, remote, [action])
    assert Store(tmp_path / "remote").lookup(action.key) == action


def test_a_request_that_finds_no_room_leaves_no_part_of_its_line(tmp_path: Path) -> None:
    """`verify` would name it, and tell the user of damage."""
    runs.append(tmp_path, "rpn", "1" * 64, "ran")
    (log,) = runs.logs(tmp_path)
    whole = log.read_bytes()
    with no_room(len(whole) + 50), pytest.raises(OSError, match="File too large"):
        runs.append(tmp_path, "rpn", "2" * 64, "ran")
    assert log.read_bytes() == whole + b"\n" * 50
    runs.append(tmp_path, "rpn", "3" * 64, "ran")
    assert [run.key[0] for run in runs.read(tmp_path)] == ["3", "1"]
    assert runs.unreadable(log) == []
