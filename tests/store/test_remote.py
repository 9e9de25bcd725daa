"""To and from a folder and a real SFTP server: whole, checked, and never taken on trust."""

from __future__ import annotations

import errno
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import COMMAND
from fsspec.implementations.memory import MemoryFileSystem

import unidet.store
from unidet.errors import UserError
from unidet.store.gc import drop, sweep
from unidet.store.live import in_use
from unidet.store.paths import Layout
from unidet.store.record import Action, with_checksum
from unidet.store.remote import Refused, Remote
from unidet.store.repair import repair
from unidet.store.store import Store, key_of
from unidet.store.transfer import fetch, fetch_all, push
from unidet.store.verify import verify

Publish = Callable[..., Action]
FILES = {"model": b"weights" * 1000, "logs/log.csv": b"step,loss\n", "empty": b""}


@pytest.fixture(params=["folder", "sftp"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where tmp_path / "remote" is reached: as it is, and over SFTP."""
    if request.param == "folder":
        return str(tmp_path / "remote")
    sshd: Any = request.getfixturevalue("sshd")
    monkeypatch.setenv("HOME", str(sshd.home))
    return sshd.url(tmp_path / "remote")


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    """The remote, seen from behind."""
    return Layout(tmp_path / "remote")


@pytest.fixture
def other(tmp_path: Path) -> Store:
    """Another person's store."""
    return Store(tmp_path / "other")


def no_use(*keys: str) -> None:
    """Nobody cleans up here."""


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def blob_there(there: Layout, action: Action, name: str = "model") -> Path:
    return there.blob(action.files[name].sha256)


def chain(publish: Publish) -> tuple[Action, Action]:
    data = publish({"index": b"scenes"}, stage="data")
    return data, publish(FILES, stage="rpn", inputs=[data])


# --- there and back ----------------------------------------------------------------------------


def test_what_was_pushed_arrives_elsewhere(
    store: Store, publish: Publish, other: Store, address: str
) -> None:
    data, rpn = chain(publish)
    moved = push(store, Remote(address), [rpn])
    assert moved.sent == moved.artefacts == [data.key, rpn.key]
    assert moved.bytes == 6 + 7000 + 10
    assert fetch(other, Remote(address), rpn.key, no_use) == rpn
    assert other.lookup(data.key) == data
    assert content(other.folder(rpn)) == FILES
    assert verify(other).problems == ()
    assert list((other.layout.base / "work").iterdir()) == []


def test_content_that_artefacts_share_is_counted_once(
    store: Store, publish: Publish, other: Store, address: str
) -> None:
    actions = [publish({"a": b"same"}, seed=1), publish({"a": b"same", "b": b"b"}, seed=2)]
    assert push(store, Remote(address), actions).bytes == 5
    assert fetch_all(other, Remote(address), no_use).bytes == 5
    assert fetch_all(other, Remote(address), no_use).bytes == 0


def test_a_place_without_hard_links_is_told_before_anything_is_fetched(
    store: Store, publish: Publish, other: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after hours, by the first file that arrived and cannot be linked to its place."""
    action = publish(FILES)
    remote = Remote(str(tmp_path / "remote"))
    push(store, remote, [action])

    def failing(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", failing)
    with pytest.raises(UserError, match="is on a file system without hard links"):
        fetch(other, remote, action.key, no_use)
    assert remote.received == 0
    assert list((other.layout.base / "work").iterdir()) == []


def test_content_that_several_artefacts_need_is_refused_once(
    store: Store, publish: Publish, other: Store, address: str, there: Layout
) -> None:
    data, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    blob_there(there, data, "index").chmod(0o644)
    blob_there(there, data, "index").write_bytes(b"wrong!")
    (line,) = fetch_all(other, Remote(address), no_use).refused
    assert "its content does not have this hash; delete it there, and push it again" in line
    assert line.endswith("; 2 artefacts need it")


def test_pushing_again_sends_nothing(store: Store, publish: Publish, address: str) -> None:
    _, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    moved = push(store, Remote(address), [rpn])
    assert (moved.bytes, moved.sent, len(moved.artefacts)) == (0, [], 2)


def test_a_push_tells_how_much_of_a_file_was_sent(
    store: Store, publish: Publish, sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one takes minutes."""
    monkeypatch.setenv("HOME", str(sshd.home))
    remote, size, told = Remote(sshd.url(tmp_path / "remote")), 1 << 20, list[int]()
    push(
        store, remote, [publish({"a": bytes(size), "b": size * b"b"})], lambda n, _: told.append(n)
    )
    assert told == sorted(told)
    assert set(range(1 << 15, 2 * size + 1, 1 << 15)) <= set(told)


def test_a_push_goes_on_where_it_stopped(
    store: Store, publish: Publish, address: str, there: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, rpn = chain(publish)
    upload, count = Remote.upload, iter([1, 2])

    def breaking(self: Remote, source: Path, *given: Any) -> None:
        if next(count, None) is None:
            raise ConnectionError("line cut")
        upload(self, source, *given)

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "upload", breaking)
        with pytest.raises(ConnectionError):
            push(store, Remote(address), [rpn])
    sent_before = sum(path.stat().st_size for path in there.blobs.glob("??/*"))
    assert sent_before > 0
    assert not there.record(rpn.key).exists()
    assert push(store, Remote(address), [rpn]).bytes == 7016 - sent_before
    assert verify(Store(there.root)).problems == ()


def test_a_remote_folder_is_a_store(
    store: Store, publish: Publish, address: str, there: Layout
) -> None:
    _, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    assert verify(Store(there.root)).problems == ()
    assert Store(there.root).lookup(rpn.key) == rpn
    assert list((there.base / "work").iterdir()) == []


def test_what_a_remote_does_not_have(other: Store, address: str) -> None:
    assert fetch(other, Remote(address), "0" * 64, no_use) is None
    assert list(Remote(address).keys()) == []
    assert not other.root.exists()


def test_content_that_was_lost_here_is_fetched_again(
    store: Store, publish: Publish, address: str
) -> None:
    _, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    store.layout.blob(rpn.files["model"].sha256).unlink()
    assert store.lookup(rpn.key) is None
    assert fetch(store, Remote(address), rpn.key, no_use) == rpn
    assert verify(store).problems == ()


def test_what_is_not_pushed_for_want_of_its_content_names_the_remedy(
    store: Store, publish: Publish, address: str
) -> None:
    _, rpn = chain(publish)
    blob = store.layout.blob(rpn.files["model"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes() + b"more")
    (text,) = push(store, Remote(address), [rpn]).refused
    assert text.endswith("is missing here or was altered; run: unidet verify --repair")
    blob.unlink()
    assert push(store, Remote(address), [rpn]).refused == [text]


def test_fetching_marks_what_it_brings_before_it_looks(
    store: Store, publish: Publish, other: Store, address: str
) -> None:
    data, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    marked: list[str] = []

    def use(*keys: str) -> None:
        assert all(other.record(key) is None for key in keys)
        marked.extend(keys)

    fetch(other, Remote(address), rpn.key, use)
    assert marked == [rpn.key, data.key]


def test_another_result_at_the_remote_stays(
    store: Store, publish: Publish, other: Store, address: str
) -> None:
    first = publish({"a": b"one"})
    push(store, Remote(address), [first])
    store.layout.record(first.key).unlink()
    second = publish({"a": b"two"})
    assert second.key == first.key
    (text,) = push(store, Remote(address), [second]).refused
    assert "the remote has another result for its key" in text
    assert fetch(other, Remote(address), first.key, no_use) == first


PUSHER = """
import sys
from pathlib import Path
from unidet.store.remote import Remote
from unidet.store.store import Store
from unidet.store.transfer import push
store = Store(Path(sys.argv[1]))
push(store, Remote(sys.argv[2]), store.actions())
"""


def test_several_writers_at_once(
    store: Store, publish: Publish, address: str, there: Layout
) -> None:
    for seed in range(6):
        publish({"a": b"%d" % seed * 1000, "shared": b"same" * 1000}, seed=seed)
    arguments = [sys.executable, "-c", PUSHER, str(store.root), address]
    writers = [subprocess.Popen(arguments, env={**os.environ}) for _ in range(3)]
    assert [one.wait(60) for one in writers] == [0, 0, 0]
    found = verify(Store(there.root))
    assert (found.blobs, found.records, found.problems) == (7, 6, ())


def test_a_clean_up_there_meanwhile(
    store: Store, publish: Publish, address: str, there: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes content that was there when the push began, before the push has a record of it."""
    rpn, put_record = publish(FILES), Remote.put_record
    push(store, Remote(address), [rpn])
    drop(Store(there.root), [rpn])

    def late(self: Remote, action: Action) -> None:
        sweep(Store(there.root), grace=0.0, young=0.0)
        assert not blob_there(there, rpn).exists()
        put_record(self, action)

    monkeypatch.setattr(Remote, "put_record", late)
    moved = push(store, Remote(address), [rpn])
    assert (moved.sent, moved.bytes) == ([rpn.key], rpn.size)
    assert verify(Store(there.root)).problems == ()


def test_a_folder_that_another_writer_makes_at_the_same_time(
    store: Store, publish: Publish, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a server's answer to mkdir is a bare failure."""
    remote = Remote(address)
    makedirs, calls = type(remote._system).makedirs, iter([1, 2])

    def failing(self: object, *arguments: object, **options: object) -> None:
        if next(calls, None) is not None:
            raise OSError("Failure")
        makedirs(self, *arguments, **options)

    monkeypatch.setattr(type(remote._system), "makedirs", failing)
    _, rpn = chain(publish)
    assert len(push(store, remote, [rpn]).sent) == 2


# --- mending -----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UserError("the connection was lost"), KeyboardInterrupt()])
def test_a_repair_that_a_remote_stops_is_done_by_the_next(
    store: Store,
    publish: Publish,
    address: str,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
) -> None:
    """A record that was only set aside would not be asked for again."""
    _, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    record = store.layout.record(rpn.key)
    record.write_bytes(record.read_bytes()[:-40])

    def stopped(self: Remote, key: str) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Remote, "action", stopped)
        with pytest.raises(type(error)):
            repair(store, verify(store), Remote(address), no_use)
    (fate,) = repair(store, verify(store), Remote(address), no_use).values()
    assert fate.startswith("brought back from")
    assert store.lookup(rpn.key) == rpn
    assert verify(store).problems == ()


def test_verify_repairs_from_a_remote(store: Store, publish: Publish, address: str) -> None:
    data, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    altered = store.layout.blob(rpn.files["model"].sha256)
    altered.chmod(0o644)
    altered.write_bytes(b"Weights" * 1000)
    store.layout.blob(rpn.files["logs/log.csv"].sha256).unlink()
    store.layout.record(data.key).write_bytes(b"{")
    found = verify(store)
    assert sorted(one.kind for one in found.problems) == ["altered", "damaged", "missing"]
    fates = repair(store, found, Remote(address), no_use)
    assert set(fates.values()) == {f"brought back from {address}"}
    assert verify(store).problems == ()
    assert content(store.folder(rpn)) == FILES
    assert store.lookup(data.key) == data


def test_verify_repairs_without_a_remote(store: Store, publish: Publish) -> None:
    """Bad content goes, so that the next run makes it again; what is in the trash comes back."""
    rpn = publish({"a": b"one", "b": b"two"})
    altered, lost = (store.layout.blob(rpn.files[name].sha256) for name in "ab")
    altered.chmod(0o644)
    altered.write_bytes(b"onf")
    store.layout.dropped_blobs.mkdir(parents=True)
    lost.rename(store.layout.dropped_blobs / lost.name)
    fates = repair(store, verify(store), None, no_use)
    assert sorted(fates.values()) == [
        "brought back from the trash",
        "set aside in the trash; the next run that needs it makes it again",
    ]
    assert [one.kind for one in verify(store).problems] == ["missing"]
    publish({"a": b"one", "b": b"two"})
    assert verify(store).problems == ()


def test_a_remote_that_is_damaged_too_repairs_nothing(
    store: Store, publish: Publish, address: str, there: Layout
) -> None:
    rpn = publish(FILES)
    push(store, Remote(address), [rpn])
    blob_there(there, rpn).write_bytes(b"Weights" * 1000)
    store.layout.blob(rpn.files["model"].sha256).unlink()
    refused: list[str] = []
    assert repair(store, verify(store), Remote(address), no_use, refused.append) == {}
    (text,) = refused
    assert f"{rpn.files['model'].sha256}: its content does not have this hash; delete it" in text
    assert store.lookup(rpn.key) is None


def test_altered_content_is_not_pushed(
    store: Store, publish: Publish, address: str, there: Layout
) -> None:
    rpn, more = publish(FILES), publish(FILES, seed=1)
    other = publish({"a": b"good"}, seed=2)
    blob = store.layout.blob(rpn.files["model"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"Weights" * 1000)
    moved = push(store, Remote(address), [rpn, more, other])
    assert moved.refused == [f"blob {blob.name} was altered here; run: unidet verify --repair"]
    assert moved.sent == [other.key]
    assert not there.record(rpn.key).exists()


# --- no trust ----------------------------------------------------------------------------------


@pytest.fixture
def pushed(store: Store, publish: Publish, address: str) -> Action:
    _, rpn = chain(publish)
    push(store, Remote(address), [rpn])
    return rpn


def refused(other: Store, address: str, key: str) -> str:
    with pytest.raises(Refused) as caught:
        fetch(other, Remote(address), key, no_use)
    assert other.record(key) is None
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"remote {address}: refused ")
    return text


def test_what_to_do_about_what_is_damaged_there_helps(
    store: Store, other: Store, address: str, there: Layout, pushed: Action
) -> None:
    for place in (there.record(pushed.key), blob_there(there, pushed)):
        place.chmod(0o644)
        place.write_bytes(bytes(place.stat().st_size) if place.suffix != ".json" else b"")
        text = refused(other, address, pushed.key)
        assert text.endswith("; delete it there, and push it again from a store that has it")
        place.unlink()
        assert not push(store, Remote(address), [pushed]).refused
    assert fetch(other, Remote(address), pushed.key, no_use) == pushed


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (b"Weights" * 1000, "its content does not have this hash"),
        (b"weights" * 2000, "it has 14000 bytes; a record says 7000"),
        (b"short", "it has 5 bytes; a record says 7000"),
    ],
)
def test_content_with_another_hash_or_size(
    other: Store, address: str, there: Layout, pushed: Action, wrong: bytes, says: str
) -> None:
    blob_there(there, pushed).write_bytes(wrong)
    text = refused(other, address, pushed.key)
    assert f"{pushed.files['model'].sha256}: {says}" in text
    names = {path.name for path in other.layout.blobs.glob("??/*")}
    assert pushed.files["model"].sha256 not in names
    assert list((other.layout.base / "work").iterdir()) == []


def test_content_that_is_too_long_is_not_read_to_its_end(
    address: str,
    there: Layout,
    pushed: Action,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has grown since its size was asked for."""
    blob_there(there, pushed).write_bytes(b"w" * 5_000_000)
    monkeypatch.setattr(Remote, "_size", lambda self, path: pushed.files["model"].size)
    pieces: list[int] = []
    with pytest.raises(Refused, match="does not have this hash"):
        Remote(address).download(pushed.files["model"], tmp_path / "target", pieces.append)
    assert sum(pieces) == 7001
    assert not (tmp_path / "target").exists()


def test_content_of_another_size_than_the_server_tells(
    address: str, pushed: Action, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash is right, and the record gives the size that the server tells."""
    file = replace(pushed.files["model"], size=8000)
    monkeypatch.setattr(Remote, "_size", lambda self, path: file.size)
    with pytest.raises(Refused, match="it has 7000 bytes; a record says 8000"):
        Remote(address).download(file, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_content_that_is_missing(other: Store, address: str, there: Layout, pushed: Action) -> None:
    blob_there(there, pushed).unlink()
    assert "the content that a record names is missing" in refused(other, address, pushed.key)


def test_a_record_that_names_a_path_outside(
    other: Store, address: str, there: Layout, pushed: Action, tmp_path: Path
) -> None:
    path = there.record(pushed.key)
    values = json.loads(path.read_bytes())
    values["files"]["../../../escaped"] = values["files"].pop("model")
    path.write_bytes(with_checksum(values))
    text = refused(other, address, pushed.key)
    assert "'../../../escaped' is not a file name inside an artefact" in text
    assert f"actions/{pushed.key[:2]}/{pushed.key}.json" in text
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"preimage": {"stage": "rpn", "config": {"seed": 9}}}, "its key is not that of its pre"),
        ({"stage": "roi"}, "its stage is not that of its preimage"),
        ({"seconds": -1}, "seconds: -1 is not a time"),
        ({"host": ["x"]}, "host: ['x'] has the wrong type"),
        ({"inputs": {"data": "../../x"}}, "is not a sha256 digest"),
    ],
)
def test_a_record_that_is_not_right(
    other: Store,
    address: str,
    there: Layout,
    pushed: Action,
    changes: dict[str, object],
    says: str,
) -> None:
    path = there.record(pushed.key)
    path.write_bytes(with_checksum({**json.loads(path.read_bytes()), **changes}))
    assert says in refused(other, address, pushed.key)


@pytest.mark.parametrize("part", ["blob", "blob folder", "record", "record folder"])
def test_a_link(
    other: Store, address: str, there: Layout, pushed: Action, tmp_path: Path, part: str
) -> None:
    """Even to the right content: it could be another one at the next look."""
    path = blob_there(there, pushed) if part.startswith("blob") else there.record(pushed.key)
    path = path.parent if part.endswith("folder") else path
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert "a link" in refused(other, address, pushed.key)
    if part == "record folder":
        with pytest.raises(Refused, match="a link"):
            list(Remote(address).keys())


def test_what_is_wrong_is_named_and_the_rest_arrives(
    store: Store, publish: Publish, other: Store, address: str, there: Layout
) -> None:
    good, bad = publish({"a": b"good"}, seed=1), publish({"a": b"bad"}, seed=2)
    push(store, Remote(address), [good, bad])
    blob_there(there, bad, "a").write_bytes(b"bbd")
    moved = fetch_all(other, Remote(address), no_use)
    assert moved.artefacts == [good.key]
    (text,) = moved.refused
    assert bad.files["a"].sha256 in text


def test_what_is_damaged_arrives_once_however_many_need_it(
    store: Store, publish: Publish, other: Store, address: str, there: Layout
) -> None:
    """Weights of gigabytes came again for each artefact that was made from them."""
    weights = publish({"a": b"good", "b": b"damaged"}, stage="clip")
    users = [publish({"a": bytes([n])}, seed=n, inputs=[weights]) for n in range(4)]
    push(store, Remote(address), users)
    blob_there(there, weights, "b").write_bytes(b"demaged")
    moved = fetch_all(other, Remote(address), no_use)
    assert moved.artefacts == []
    assert moved.bytes <= len(b"good" + b"demaged")
    (text,) = moved.refused
    assert text.endswith("; 5 artefacts need it")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("a")])
def test_what_stands_in_place_of_a_record_is_named(
    store: Store, publish: Publish, other: Store, address: str, there: Layout, make: Any
) -> None:
    """It was passed over in silence where nothing else was made from the artefact."""
    good, bad = publish({"a": b"good"}, seed=1), publish({"a": b"bad"}, seed=2)
    push(store, Remote(address), [good, bad])
    path = there.record(bad.key)
    path.unlink()
    make(path)
    moved = fetch_all(other, Remote(address), no_use)
    assert moved.artefacts == [good.key]
    assert push(store, Remote(address), [bad]).refused == moved.refused
    (text,) = moved.refused
    assert bad.key in text
    assert "not a plain file" in text


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOENT, errno.EIO])
@pytest.mark.parametrize("part", ["record", "blob"])
def test_a_file_that_cannot_be_read_is_named_and_the_rest_arrives(
    store: Store,
    publish: Publish,
    other: Store,
    address: str,
    there: Layout,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    part: str,
) -> None:
    """Another user's private file, one just removed, a broken disk: it ended the whole fetch."""
    good, bad = publish({"a": b"good"}, seed=1), publish({"a": b"bad"}, seed=2)
    push(store, Remote(address), [good, bad])
    path = there.record(bad.key) if part == "record" else blob_there(there, bad, "a")
    remote = Remote(address)
    opened = remote._system.open

    def failing(name: str, mode: str) -> Any:
        if name == str(path):
            raise OSError(number, os.strerror(number))
        return opened(name, mode)

    monkeypatch.setattr(remote._system, "open", failing)
    moved = fetch_all(other, remote, no_use)
    assert moved.artefacts == [good.key]
    (text,) = moved.refused
    assert path.name in text
    assert f"cannot be read ({os.strerror(number)})" in text


def test_of_a_record_no_more_is_read_than_its_file_holds(
    pushed: Action, address: str, there: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            read.append(size or 0)
            return b" " * min(size or 0, 1 << 20)

    remote = Remote(address)
    monkeypatch.setattr(remote._system, "open", lambda path, mode: Endless())
    with pytest.raises(Refused):
        remote.action(pushed.key)
    assert read == [there.record(pushed.key).stat().st_size]


@pytest.mark.parametrize("name", ["st_mode", "st_size"])
def test_a_server_that_does_not_say_what_a_file_is(
    sshd: Any, there: Layout, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """SFTP leaves it to the server which attributes of a file it sends."""
    paramiko = pytest.importorskip("paramiko")
    monkeypatch.setenv("HOME", str(sshd.home))
    lstat = paramiko.SFTPClient.lstat

    def without(self: Any, path: str) -> Any:
        state = lstat(self, path)
        setattr(state, name, None)
        return state

    monkeypatch.setattr(paramiko.SFTPClient, "lstat", without)
    path = there.record(64 * "a")
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    with pytest.raises(UserError, match="the server does not say what /"):
        Remote(sshd.url(there.root)).action(64 * "a")


def test_files_that_are_not_ours_are_passed_over(
    other: Store, address: str, there: Layout, pushed: Action
) -> None:
    (there.record(pushed.key).parent / "notes.json").write_text("mine")
    (blob_there(there, pushed).parent / "notes").write_text("mine")
    (there.actions / "README").write_text("mine")
    assert len(fetch_all(other, Remote(address), no_use).artefacts) == 2


@pytest.mark.parametrize(
    "make", [Path.touch, lambda path: path.symlink_to("nowhere")], ids=["file", "link"]
)
@pytest.mark.parametrize("below", ["", "/below"])
def test_what_is_no_folder_on_the_way_to_a_remote_is_named(
    store: Store,
    publish: Publish,
    sshd: Any,
    tmp_path: Path,
    monkeypatch: Any,
    make: Any,
    below: str,
) -> None:
    """SFTP says "No such file", or no more than that it failed."""
    monkeypatch.setenv("HOME", str(sshd.home))
    place = tmp_path / "mistyped"
    make(place)
    with pytest.raises(UserError, match=f": {place} is not a folder; choose another place"):
        push(store, Remote(f"{sshd.url(place)}{below}"), [publish(FILES)])


@pytest.mark.parametrize(
    ("method", "place"), [("put_file", "work/"), ("makedirs", "(work|blobs)"), ("ls", "blobs")]
)
def test_where_somebody_may_not_list_or_write_is_named(
    method: str,
    place: str,
    store: Store,
    publish: Publish,
    sshd: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in the folders of another user; SFTP tells no path."""

    def refusing(*_: Any, **options: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    publish(FILES)
    monkeypatch.setenv("HOME", str(sshd.home))
    remote = Remote(sshd.url(tmp_path / "theirs"))
    monkeypatch.setattr(type(remote._system), method, refusing)
    with pytest.raises(UserError, match=rf"/theirs/store/v1/{place}\S*: Permission denied$"):
        push(store, remote, None)


def test_folders_made_from_what_was_pushed_are_read_only(there: Layout, pushed: Action) -> None:
    """They share their files with the store, which an edit would alter."""
    folder = Store(there.root).folder(pushed)
    assert not any((folder / name).stat().st_mode & 0o222 for name in pushed.files)


# --- what cannot be reached --------------------------------------------------------------------


def test_the_port_of_another_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was said not to answer."""
    pytest.importorskip("paramiko")
    monkeypatch.setenv("HOME", str(tmp_path))

    def answer() -> None:
        peer, _ = server.accept()
        peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.shutdown(socket.SHUT_WR)
        peer.recv(1)
        peer.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer).start()
        with pytest.raises(UserError, match="is this the port of an SSH server"):
            Remote(f"sftp://me@127.0.0.1:{server.getsockname()[1]}/x")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sftp:///folder", "names no host, or no port; give sftp://user@host/folder"),
        ("nonsense://x/y", "no store can be reached by nonsense://; give"),
        ("sftp://127.0.0.1:1/x", "remote sftp://127.0.0.1:1/x: "),
        ("me@host:/data", "remote me@host:/data: is no folder, and an address is given as"),
        ("sftp//me:pw@host/x", "remote sftp//me:***@host/x: is no folder, and an address"),
        ("sftp:me@host/x", "remote sftp:***@host/x: is no folder, and an address is given"),
        ("me:pw@host", "remote me:***@host: is no folder, and an address is given"),
        ("sftp:/me:S3cret@host/data", "remote sftp:/me:***@host/data: is no folder"),
        ("s3://bucket/x?token=S3cret", "remote s3://bucket/x?***: an address takes no ?"),
        (
            "sftp://me@127.0.0.1/data#2",
            "remote sftp://me@127.0.0.1/data#***: an address takes no ?",
        ),
        ("simplecache::sftp://127.0.0.1:1/x", "an address names one server, or is a folder"),
        ("file://me:S3cret@/data", "remote file://me:***@/data: names a server or no whole path"),
        (
            "s3://KEY:S3cret/x@bucket/data",
            "remote s3://KEY:***@bucket/data: takes no user and no pass",
        ),
        ("s3://KEY:S3cret", "remote s3://KEY:***: takes no user and no password"),
        ("local:data", "remote local:data: names a server or no whole path; give the folder as a"),
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(url: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        Remote(url)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n"], ids=["nothing", "its version"])
def test_a_server_that_does_not_answer_is_given_up(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = pytest.importorskip("unidet.store.ssh", exc_type=ImportError)
    monkeypatch.setattr(ssh, "PATIENCE", 0.5)
    with answering(said, stays=True) as port:
        started = time.monotonic()
        with pytest.raises(UserError, match=r"remote sftp://.*: does not answer; look at"):
            Remote(f"sftp://me@127.0.0.1:{port}/x")
    assert time.monotonic() - started < 20


def test_s3_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore and s3fs would try 25 times, a minute each."""
    pytest.importorskip("s3fs")
    monkeypatch.setattr("unidet.store.s3.PATIENCE", 0.3)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "any")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        remote = Remote("s3://bucket/x")
        with pytest.raises(UserError, match=r"remote s3://bucket/x: does not answer; look at"):
            remote.blobs()
        silent.setblocking(False)
        for _ in range(3):
            silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


@contextmanager
def answering(said: bytes, *, stays: bool = False) -> Iterator[int]:
    """The port of a server that says this to one who calls, and goes, unless it `stays`."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(said)
            if stays:
                over.wait()
            connection.close()

        over = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


WORDS = {
    "nothing": b"",
    "another protocol": b"\x1b[31mHTTP/1.0 400 bad\r\n" * 200,
}


@pytest.mark.parametrize("said", WORDS.values(), ids=WORDS)
def test_a_server_of_another_kind_is_one_line(said: bytes, tmp_path: Path) -> None:
    """paramiko writes tracebacks of its own, and what the server said, with its escape codes."""
    pytest.importorskip("paramiko")
    with answering(said) as port:
        url = f"sftp://me:S3cret@127.0.0.1:{port}/x"
        done = subprocess.run(
            [*COMMAND, "fetch", "--all", "--remote", url, f"store.root={tmp_path / 'store'}"],
            capture_output=True,
            text=True,
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("unidet: remote sftp://me:***@127.0.0.1:")
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("protocol", ["memory", "http", "https", "ftp", "SFTP"])
def test_no_store_is_reached_by_other_protocols(protocol: str) -> None:
    """One in memory ends with this process, of a web server nothing can be listed."""
    text = f"remote {protocol}://x: no store can be reached by {protocol}://; give a folder, sftp:"
    with pytest.raises(UserError, match=text):
        Remote(f"{protocol}://x")


@pytest.mark.parametrize(
    ("protocol", "module", "remedy"),
    [
        ("sftp", "paramiko", "run in the checkout: pip install '.[remote]'"),
        ("s3", "s3fs", "run in the checkout: pip install '.[s3]'"),
        ("gs", "gcsfs", "run pip install gcsfs"),
        ("az", "adlfs", "run pip install adlfs"),
    ],
)
def test_a_library_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, protocol: str, module: str, remedy: str
) -> None:
    for name in (module, "unidet.store.ssh", "unidet.store.s3"):
        monkeypatch.setitem(sys.modules, name, None)
        monkeypatch.delattr(unidet.store, name.rpartition(".")[2], raising=False)
    with pytest.raises(UserError) as caught:
        Remote(f"{protocol}://x/y")
    says = f"remote {protocol}://x/y: a library for {protocol}:// is not installed; {remedy}"
    assert str(caught.value) == says


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to(path.parent)])
def test_what_is_no_file_at_a_remote_is_no_content_that_is_there(
    store: Store, publish: Publish, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """A folder of the right size counted as sent, and the file was moved into another one."""
    remote = Remote(str(tmp_path / "remote"))
    action = publish({"model": bytes(4096)})
    path = remote.layout.blob(action.files["model"].sha256)
    path.parent.mkdir(parents=True)
    make(path)
    size = path.stat().st_size
    action = publish({"model": bytes(size)})
    if path.is_symlink():
        push(store, remote, [action])
        assert Store(tmp_path / "remote").lookup(action.key) == action
    else:
        other = publish({"model": b"weights"}, seed=1)
        moved = push(store, remote, [action, other])
        assert moved.sent == [other.key]
        (text,) = moved.refused
        assert text.endswith(": a folder, not a plain file")
        assert list(path.iterdir()) == []
        assert Store(tmp_path / "remote").lookup(action.key) is None
    assert not [*(tmp_path / "remote/store/v1/work").iterdir()]


class Buckets(MemoryFileSystem):
    """A file system like S3, with which to make the folders of a name is to make its bucket."""

    protocol = "s3"

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        pytest.fail(f"makes {path}")

    def put_file(self, lpath: str, rpath: str, **options: object) -> None:
        self.pipe_file(rpath, Path(lpath).read_bytes())


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Remote:
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr("unidet.store.remote.connect", lambda url: (Buckets(), "/bucket/x"))
    return Remote("s3://bucket/x")


def test_no_bucket_is_made(store: Store, publish: Publish, bucket: Remote) -> None:
    rpn = publish(FILES)
    assert push(store, bucket, [rpn]).sent == [rpn.key]


@pytest.mark.parametrize("error", [OSError("cut"), TimeoutError(), KeyboardInterrupt()])
@pytest.mark.parametrize("place", range(len(FILES) + 1))
def test_a_push_that_fails_removes_no_object_of_another_writer(
    store: Store,
    publish: Publish,
    other: Store,
    bucket: Remote,
    monkeypatch: pytest.MonkeyPatch,
    place: int,
    error: BaseException,
) -> None:
    """Both push the same; the other one is done as this one's transfer of an object fails."""
    rpn, put = publish(FILES), Buckets.put_file
    steps = iter(range(len(FILES) + 1))

    def failing(system: Buckets, lpath: str, rpath: str, **options: object) -> None:
        if next(steps) == place:
            monkeypatch.setattr(Buckets, "put_file", put)
            push(store, Remote("s3://bucket/x"), [rpn])
            raise error
        put(system, lpath, rpath, **options)

    monkeypatch.setattr(Buckets, "put_file", failing)
    with pytest.raises((UserError, KeyboardInterrupt)):
        push(store, bucket, [rpn])
    assert fetch(other, Remote("s3://bucket/x"), rpn.key, no_use) == rpn


def test_new_folders_are_on_the_disk_up_to_the_first_that_was_there(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rpn = publish(FILES)
    synced: set[int] = set()
    sync = os.fsync

    def syncing(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", syncing)
    push(store, Remote(str(tmp_path / "new" / "remote")), [rpn])
    there = Layout(tmp_path / "new" / "remote")
    for path in (there.record(rpn.key), *map(there.blob, (f.sha256 for f in rpn.files.values()))):
        for folder in (path.parent, *path.parent.parents):
            assert folder.stat().st_ino in synced, folder
            if folder == tmp_path:
                break


def test_a_server_whose_disk_is_full(
    store: Store, publish: Publish, sshd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """paramiko reads none of its refusals while it sends a file."""
    import paramiko

    monkeypatch.setattr(paramiko.SFTPFile, "write", lambda self, data: None)
    monkeypatch.setenv("HOME", str(sshd.home))
    with pytest.raises(UserError, match="0 of 7 bytes arrived; look at its disk, and push again"):
        push(store, Remote(sshd.url(tmp_path)), [publish({"model": b"weights"})])
    assert not [path for path in tmp_path.joinpath("store/v1/work").iterdir() if path.is_file()]


def test_a_mark_for_a_fetch_is_seen_by_a_clean_up(store: Store) -> None:
    with in_use(store.layout) as use:
        assert fetch(store, Remote(str(store.root / "none")), key_of({"a": 1}), use) is None


@pytest.mark.parametrize(
    "error", [EOFError(), ConnectionResetError(104, "reset"), OSError("Socket is closed")]
)
def test_a_connection_that_ends_says_that_the_command_continues(
    store: Store,
    publish: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    remote = Remote(str(tmp_path / "remote"))

    def end(*given: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(type(remote._system), "put_file", end)
    with pytest.raises(UserError, match=r"the connection was lost \(.+\); run this again, it cont"):
        push(store, remote, [publish({"model": b"weights"})])


def test_a_remote_is_a_store_once_something_was_pushed(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    """What is fetched from a mistyped folder or bucket is not nothing."""
    (tmp_path / "remote").mkdir()
    assert not Remote(str(tmp_path / "remote")).is_store()
    push(store, Remote(str(tmp_path / "remote")), [publish({"model": b"weights"})])
    assert Remote(str(tmp_path / "remote")).is_store()
    assert not Remote(str(tmp_path / "other")).is_store()
