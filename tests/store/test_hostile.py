"""Records and files that somebody made wrong on purpose, or that only a broken disk leaves."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.redaction import redact, redact_command
from unidet.store import accepted, runs
from unidet.store.code import Sources
from unidet.store.derived import read_derived
from unidet.store.disk import write_sealed
from unidet.store.gc import cleaning, drop, sweep
from unidet.store.gc_plan import plan
from unidet.store.hashing import sha256_bytes
from unidet.store.live import used
from unidet.store.pins import pin, pins
from unidet.store.record import FORMAT, Action, StoredFile, digest_files, with_checksum
from unidet.store.remote import Refused, Remote
from unidet.store.repair import SET_ASIDE, repair
from unidet.store.stat_cache import ROW
from unidet.store.store import LaterRecord, Store, key_of
from unidet.store.transfer import fetch, fetch_all, push
from unidet.store.verify import verify

Publish = Callable[..., Action]


def no_use(*keys: str) -> None:
    """Marks nothing."""


def rewrite(path: Path, **changes: Any) -> None:
    path.write_bytes(with_checksum({**json.loads(path.read_bytes()), **changes}))


def resized(action: Action, size: int) -> dict[str, Any]:
    """Fields of a record that gives all its files another size and is right otherwise."""
    files = {name: StoredFile(file.sha256, size) for name, file in action.files.items()}
    stored = {name: {"sha256": file.sha256, "size": file.size} for name, file in files.items()}
    return {"files": stored, "output": digest_files(files)}


def problems(store: Store) -> list[tuple[str, str]]:
    return [(one.kind, Path(one.path).name) for one in verify(store).problems]


# --- sizes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [6, 8, 2**40])
def test_another_size_is_refused_on_arrival(
    store: Store, publish: Publish, tmp_path: Path, size: int
) -> None:
    action = publish({"model": b"weights"})
    push(store, Remote(str(tmp_path / "remote")), [action])
    there = Store(tmp_path / "remote")
    rewrite(there.layout.record(action.key), **resized(action, size))
    other = Store(tmp_path / "other")
    with pytest.raises(Refused, match=rf"it has 7 bytes; a record says {size}\b"):
        fetch(other, Remote(str(tmp_path / "remote")), action.key, no_use)
    assert list(other.layout.blobs.glob("??/*")) == []


def test_repair_sets_the_wrong_record_aside_and_keeps_the_weights(
    store: Store, publish: Publish
) -> None:
    good, bad = publish({"model": b"weights"}, seed=1), publish({"model": b"weights"}, seed=2)
    rewrite(store.layout.record(bad.key), **resized(good, 9))
    assert problems(store) == [("damaged", f"{bad.key}.json")]
    fates = repair(store, verify(store), None, no_use)
    assert list(fates.values()) == [SET_ASIDE]
    assert (store.folder(good) / "model").read_bytes() == b"weights"
    assert verify(store).problems == ()
    assert len(list(store.layout.trash.glob(f"{bad.key}.json.*"))) == 1


def test_a_wrong_size_does_not_keep_content_from_coming_back(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    good, bad = publish({"model": b"weights"}, seed=1), publish({"model": b"weights"}, seed=2)
    there = Remote(str(tmp_path / "remote"))
    push(store, there, [good])
    for size in (3, 9):
        rewrite(store.layout.record(bad.key), **resized(good, size))
        store.layout.blob(good.files["model"].sha256).unlink()
        repair(store, verify(store), there, no_use)
        assert (store.folder(good) / "model").read_bytes() == b"weights"


def test_what_is_altered_waits_in_the_trash(store: Store, publish: Publish) -> None:
    blob = store.layout.blob(publish({"model": b"weights"}).files["model"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"Weights")
    repair(store, verify(store), None, no_use)
    (aside,) = store.layout.trash.glob(f"{blob.name}.*")
    assert aside.read_bytes() == b"Weights"


# --- one bad record beside good ones -----------------------------------------------------------

BAD: dict[str, Callable[[bytes], bytes]] = {
    "deep": lambda _: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "digits": lambda data: data.replace(b'"seconds": 1.0', b'"seconds": ' + b"9" * 400),
    "many digits": lambda data: data.replace(b'"seconds": 1.0', b'"seconds": ' + b"9" * 5000),
    "no JSON": lambda data: data[:-40],
    "NUL bytes": lambda data: b"\0" * len(data),
    "nothing": lambda _: b"",
    "a list": lambda _: b"[]",
}


@pytest.mark.parametrize("kind", BAD)
def test_one_bad_record_does_not_stop_the_rest(
    store: Store, publish: Publish, tmp_path: Path, kind: str
) -> None:
    good, bad = publish({"a": b"1"}, seed=1), publish({"a": b"2"}, seed=2)
    push(store, Remote(str(tmp_path / "remote")), [good, bad])
    for one in (store, Store(tmp_path / "remote")):
        path = one.layout.record(bad.key)
        path.write_bytes(BAD[kind](path.read_bytes()))
    other = Store(tmp_path / "other")
    moved = fetch_all(other, Remote(str(tmp_path / "remote")), no_use)
    assert moved.artefacts == [good.key]
    (said,) = moved.refused
    assert bad.key in said
    assert len(said) < 600
    assert problems(store) == [("damaged", f"{bad.key}.json")]
    with pytest.raises(UserError, match="cannot be read, so what it needs is not known"):
        plan(store, keep_last=0)
    repair(store, verify(store), None, no_use)
    with cleaning(store):
        drop(store, [one.action for one in plan(store, keep_last=1).drops])
        sweep(store, 0.0, 0.0)
    assert store.lookup(good.key) == good
    moved = push(store, Remote(str(tmp_path / "remote")), list(store.actions()))
    assert moved.refused == []


def test_a_push_names_what_it_cannot_send(store: Store, publish: Publish, tmp_path: Path) -> None:
    """A report without the network that it was made from is not all that it needs."""
    base = publish({"a": b"1"}, seed=1)
    heir = publish({"a": b"2"}, seed=2, inputs=[base])
    other, path = publish({"a": b"3"}, seed=3), store.layout.record(base.key)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"a"', b'"b"'))
    for number, actions, sent in ((1, [heir], 1), (2, [other], 1), (3, None, 2)):
        moved = push(store, Remote(str(tmp_path / f"remote{number}")), actions)
        assert len(moved.sent) == sent
        said = [f"record {base.key[:12]}… of store {store.root} cannot be read, so what"]
        assert [line[: len(said[0])] for line in moved.refused] == said * (actions != [other])
    path.write_bytes(whole)
    rewrite(path, format=FORMAT + 1)
    (said,) = push(store, Remote(str(tmp_path / "remote4")), None).refused
    assert "from a later version" in said
    path.unlink()
    (said,) = push(store, Remote(str(tmp_path / "remote5")), [heir]).refused
    assert said == f"rpn {heir.output[:12]}: made from rpn, which this store lacks"
    moved = fetch_all(Store(tmp_path / "new"), Remote(str(tmp_path / "remote5")), no_use)
    assert (moved.sent, moved.refused) == ([heir.key], [said])
    assert push(store, Remote(str(tmp_path / "remote6")), None).refused == []


def test_a_forged_index_hides_no_record_from_a_push(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    base = publish({"a": b"1"}, seed=1)
    heir = publish({"a": b"2"}, seed=2, inputs=[base])
    group = store.layout.record(base.key).parent
    os.utime(group, (1e9, 1e9))  # a row of a folder that has just changed is not kept
    forged = {group.name: [group.stat().st_mtime_ns, []]}
    write_sealed(store.layout.stat_cache / "actions", json.dumps(forged).encode())
    assert base not in list(store.actions())
    for number, actions in enumerate(([heir], None)):
        moved = push(store, Remote(str(tmp_path / f"remote{number}")), actions)
        assert sorted(moved.sent) == sorted([base.key, heir.key])
        assert moved.refused == []


def test_a_bad_record_at_a_remote_does_not_stop_a_push(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    good, bad = publish({"a": b"1"}, seed=1), publish({"a": b"2"}, seed=2)
    remote = Remote(str(tmp_path / "remote"))
    push(store, remote, [bad])
    Store(tmp_path / "remote").layout.record(bad.key).write_bytes(b"{")
    moved = push(store, remote, [bad, good])
    assert moved.artefacts == [good.key]
    assert len(moved.refused) == 1


@pytest.mark.slow
def test_a_chain_of_thousands_is_followed(store: Store, publish: Publish, tmp_path: Path) -> None:
    """Longer than Python's own stack is deep."""
    last = publish({"a": b"x"}, seed=-1)
    values = json.loads(store.layout.record(last.key).read_bytes())
    for seed in range(1500):
        preimage = {"schema": 1, "stage": "rpn", "config": {"seed": seed}}
        values |= {"preimage": preimage, "inputs": {"rpn": values["key"]}, "key": key_of(preimage)}
        path = store.layout.record(values["key"])
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(with_checksum(values))
    newest = store.lookup(values["key"])
    assert newest is not None
    remote = Remote(str(tmp_path / "remote"))
    assert len(push(store, remote, [newest]).sent) == 1501
    assert fetch(Store(tmp_path / "other"), remote, newest.key, no_use) == newest


def test_the_record_of_a_later_version_is_not_replaced(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    """Older programs run in the same store, and a remote holds what they have published."""
    old, other = publish({"a": b"1"}), publish({"b": b"2"}, seed=1)
    remote = Remote(str(tmp_path / "remote"))
    push(store, remote, [old, other])
    path = store.layout.record(old.key)
    rewrite(path, format=FORMAT + 1)
    later = path.read_bytes()
    for work in (
        lambda: store.lookup(old.key),
        lambda: publish({"a": b"other"}),
        lambda: fetch(store, remote, old.key, no_use),
        lambda: plan(store, keep_last=1),
    ):
        with pytest.raises(LaterRecord, match=f"of format {FORMAT + 1}, from a later version"):
            work()
        assert path.read_bytes() == later
    assert list(store.actions()) == [other]
    store.layout.record(other.key).unlink()
    moved = fetch_all(store, remote, no_use)
    assert moved.sent == [other.key]
    assert len(moved.refused) == 1
    assert path.read_bytes() == later


# --- odd things in the store -------------------------------------------------------------------


def folder(path: Path) -> None:
    path.mkdir()


def fifo(path: Path) -> None:
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def loop(path: Path) -> None:
    path.symlink_to(path)


def deep(path: Path) -> None:
    path.write_bytes(b"[" * 100_000)


@pytest.mark.parametrize("make", [folder, fifo, endless, loop, deep])
def test_odd_things_stop_nothing_and_are_named(
    store: Store, publish: Publish, make: Callable[[Path], None]
) -> None:
    action = publish({"a": b"1"})
    layout, digest = store.layout, "0" * 64
    places = [
        layout.record(digest),
        layout.pin(digest),
        layout.runs / "2026-01.jsonl",
        layout.runs / "host-1-00000000.live",
        layout.accepted / "rpn" / f"{digest}.json",
        layout.lock(digest).with_suffix(".owner"),
    ]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        make(place)
    assert store.record(digest) is None
    assert list(store.actions()) == [action]
    assert list(store.runs()) == []
    assert [one.key for one in pins(layout)] == [digest]
    assert used(layout.runs) == set()
    assert list(accepted.chain(layout, "rpn", digest)) == []
    assert accepted.everything(layout) == []
    assert store.owner(digest) is None
    named = {problem.path for problem in verify(store).problems}
    expected = places[:1] if make is deep else places
    assert {path.relative_to(layout.base).as_posix() for path in expected} <= named
    repair(store, verify(store), None, no_use)
    assert plan(store, keep_last=1).drops == ()


def outside(path: Path) -> None:
    (path.parent / "outside").write_text("mine")
    path.symlink_to("outside")


@pytest.mark.parametrize("make", [folder, fifo, loop, outside])
def test_an_odd_thing_where_the_log_of_runs_lies_stays_and_nothing_is_written_to_it(
    store: Store, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody reads would have made every run wait without end."""
    monkeypatch.setattr(runs, "utc", lambda seconds: "2026-11-24T00:00:00")
    store.log_run("rpn", "0" * 64, "ran")
    monkeypatch.setattr(runs, "utc", lambda seconds: "2026-12-24T00:00:00")
    for name in ("2026-12.jsonl", "2027-01.jsonl"):
        make(store.layout.runs / name)
    store.log_run("rpn", "1" * 64, "ran")
    store.log_run("rpn", "2" * 64, "ran")
    assert [run.key[0] for run in store.runs()] == ["2", "1", "0"]
    if make is outside:
        assert (store.layout.runs / "outside").read_text() == "mine"


def test_a_link_to_a_record_is_none(store: Store, publish: Publish, tmp_path: Path) -> None:
    """What it leads to may be another one at the next look."""
    action = publish({"a": b"1"})
    path = store.layout.record(action.key)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert store.lookup(action.key) is None
    assert problems(store) == [("damaged", path.name)]


@pytest.mark.parametrize("make", [folder, loop])
def test_a_lock_that_is_none_is_one_line(
    store: Store, publish: Publish, make: Callable[[Path], None]
) -> None:
    publish({"a": b"1"})
    store.layout.gc_lock.parent.mkdir(exist_ok=True)
    make(store.layout.gc_lock)
    with pytest.raises(UserError, match=r"store .* \(.*gc\.lock\)"), cleaning(store):
        pass


def test_a_stage_runs_again_where_a_folder_lies_for_its_record(
    store: Store, publish: Publish
) -> None:
    key = key_of({"schema": 1, "stage": "rpn", "config": {}})
    store.layout.record(key).mkdir(parents=True)
    action = publish({"a": b"1"})
    assert store.lookup(key) == action
    assert verify(store).problems == ()


# --- clocks ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-3597.1, float("nan"), float("inf")])
def test_what_is_no_time_counts_as_none(store: Store, publish: Publish, seconds: float) -> None:
    action = publish({"a": b"1"}, seconds=seconds)
    found = store.lookup(action.key)
    assert found is not None
    assert found.seconds == 0.0
    assert verify(store).problems == ()


def test_a_clock_set_back_meanwhile(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    preimage = {"a": 1}
    out = store.draft(key_of(preimage))
    action = store.publish(key_of(preimage), preimage, "rpn", out, started=time.time() + 3600)
    assert action.seconds == 0.0
    assert store.lookup(action.key) == action


def test_a_record_of_the_future_does_not_push_out_what_was_used_last(
    store: Store, publish: Publish
) -> None:
    """A colleague's clock is fast: his artefact came first, and mine was asked for after it."""
    his, mine = publish({"a": b"1"}, seed=1), publish({"a": b"2"}, seed=2)
    rewrite(store.layout.record(his.key), finished="2099-01-01T00:00:00.000000+00:00")
    long_ago = time.time() - 3600
    os.utime(store.layout.record(his.key), (long_ago, long_ago))
    assert [one.action.key for one in plan(store, keep_last=1).drops] == [his.key]
    store.log_run("rpn", his.key, "cached")
    assert [one.action.key for one in plan(store, keep_last=1).drops] == [mine.key]


@pytest.mark.parametrize(
    "odd",
    [
        *(b"[", b"[]", b"5", b'[["a"]]', b"[1, 2]", b"[[1, 2, 3], [4]]"),
        *(b'{"00": [1, [[1]]]}', b'[1, {"x": 5}]', b"[" * 50_000, b"9" * 5000),
    ],
)
def test_a_strange_cache_is_none(
    store: Store, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, odd: bytes
) -> None:
    """With a right checksum, as a store from elsewhere may bring it."""
    monkeypatch.setattr("unidet.store.stat_cache.SETTLED_NS", -(10**12))
    monkeypatch.setattr("unidet.store.action_index.SETTLED_NS", -(10**12))
    action, outside = publish({"a": b"1"}), tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_bytes(b"1")

    def seen() -> tuple[object, ...]:
        files = store.digest_of(outside), store.digests_in(outside)
        code = Sources(store.layout.stat_cache / "code").closure("unidet.errors")
        return *files, list(store.actions()), code

    expected = seen()
    assert expected[2] == [action]
    caches = [path for path in store.layout.stat_cache.iterdir() if path.is_file()]
    assert len(caches) >= 3
    for path in caches:
        write_sealed(path, odd)
    assert seen() == expected


def test_nothing_is_written_where_a_link_in_place_of_the_caches_leads(
    store: Store, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidet.store.stat_cache.SETTLED_NS", -(10**12))
    monkeypatch.setattr("unidet.store.action_index.SETTLED_NS", -(10**12))
    action, mine = publish({"a": b"1"}), tmp_path / "mine"
    shutil.rmtree(store.layout.stat_cache, ignore_errors=True)
    mine.mkdir()
    (mine / "code").write_bytes(b"mine")
    store.layout.stat_cache.symlink_to(mine)
    assert store.digest_of(mine) == store.digest_of(mine)
    assert list(store.actions()) == [action]
    assert Sources(store.layout.stat_cache / "code").closure("unidet.errors")
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == {"code": b"mine"}
    assert problems(store) == [("unexpected", "stat-cache")]


@pytest.mark.parametrize("name", ["x" * 300, "{key}/x", "../{group}/{key}"])
def test_an_index_leads_to_no_other_files(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("unidet.store.action_index.SETTLED_NS", -(10**12))
    action, index = publish({"a": b"1"}), store.layout.stat_cache / "actions"
    group = store.layout.record(action.key).parent
    rows = [["9", name.format(key=action.key, group=group.name), "rpn"]]
    write_sealed(index, json.dumps({group.name: [group.stat().st_mtime_ns, rows]}).encode())
    assert list(store.actions()) == [action]


def test_what_is_published_and_sent_is_hashed_whatever_a_cache_says(
    store: Store, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that may write here can forge a cache, but not the content of an address."""
    monkeypatch.setattr("unidet.store.stat_cache.SETTLED_NS", -(10**12))
    action = publish({"a": b"good"})
    blob = store.layout.blob(action.files["a"].sha256)
    blob.chmod(0o644)
    blob.write_bytes(b"evil")
    with pytest.raises(UserError, match="the disk has altered it"):
        store.intact_folder(action)
    (cache,) = store.layout.stat_cache.glob("*.files")
    rows = read_derived(cache, [ROW])
    assert [sha256 for *_, sha256 in rows] == [sha256_bytes(b"evil")]
    write_sealed(cache, json.dumps([[name, state, blob.name] for name, state, _ in rows]).encode())
    store.intact_folder(action)  # believes it
    (text,) = push(store, Remote(str(tmp_path / "there")), [action]).refused
    assert text.endswith("was altered here; run: unidet verify --repair")
    assert problems(store) == [("altered", blob.name)]
    again = publish({"a": b"evil"}, seed=1)
    assert again.files["a"].sha256 == sha256_bytes(b"evil")


# --- passwords ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument",
    [
        "remote=sftp://me:S3cret@cluster:22/data",
        "--remote=s3://key:S3cret@bucket/x",
        "remote='ssh://me:S3/S3cret@cluster/data'",
        "remote=sftp://me:p@S3cret@cluster/data",
        "remote=https://host/data?user=me&password=S3cret",
        "remote=https://host/data?sas_token=S3cret&x=1",
        "remote=https://host/data?X-Amz-Signature=S3cret&x=1",
        "remote=https://host/data?user=me&pwd=S3cret",
        "remote=https://host/data?auth=S3cret",
        "remote=me:S3cret@cluster:/data",
        "remote=https://host/data?login[password]=S3cret",
        "remote=https://host/data?login%5Bpassword%5D=S3cret",
        "remote=https://host/data#access_token=S3cret",
        "remote=sftp://me@here.org:S3cret@cluster/data",
        "remote=sftp://me:a S3cret@cluster/data",
        "remote=sftp://group/me:S3cret@cluster/data",
        "remote=sftp://me?x#y:S3cret@cluster/data",
        "remote=https://host/data?access_token=a&S3cret#S3cret",
        "remote=https://host/data?jwt=S3cret",
        "remote=https://host/data?S3cret",
        "remote=https://S3cret@host/data",
        "remote=host/data?code=S3cret",
        "store.root=sftp:/me:S3cret@cluster/data",
    ],
)
def test_no_password_comes_into_the_store(
    store: Store,
    publish: Publish,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    argument: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["unidet", "stage=rpn", argument])
    action = publish({"a": b"1"})
    pin(store.layout, action)
    runs.append(store.layout.runs, "rpn", action.key, "ran")
    accepted.accept(store.layout, "rpn", "1" * 64, "2" * 64)
    push(store, Remote(str(tmp_path / "remote")), [action])
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"S3cret" not in everything
    assert everything.count(b"***") == 5  # two records, a pin, a run, a declaration


def test_passwords_that_older_versions_kept_go_nowhere(
    store: Store, publish: Publish, tmp_path: Path
) -> None:
    given = "unidet stage=rpn 'remote=sftp://me:a S3cret@cluster/data' out=me@here"
    shown = "unidet stage=rpn 'remote=sftp://me:***@cluster/data' out=me@here"
    action = publish({"a": b"1"})
    rewrite(store.layout.record(action.key), command=given)
    action = store.lookup(action.key)
    push(store, Remote(str(tmp_path / "remote")), [action])
    other = Store(tmp_path / "remote")
    assert other.lookup(action.key) == action
    assert verify(other).problems == ()
    everything = [path.read_bytes() for path in other.root.rglob("*") if path.is_file()]
    assert not any(b"S3cret" in data for data in everything)
    pin(store.layout, action)
    accepted.accept(store.layout, "rpn", "1" * 64, "2" * 64)
    for path in (store.layout.pin(action.key), *store.layout.accepted.rglob("*.json")):
        path.write_text(json.dumps({**json.loads(path.read_text()), "command": given}))
    (mark,), (declared,) = pins(store.layout), accepted.everything(store.layout)
    assert [one.command for one in (store.lookup(action.key), mark, declared)] == [shown] * 3


def test_a_password_is_looked_for_in_linear_time() -> None:
    """A record from elsewhere may hold a text that is made to take for ever."""
    started = time.process_time()
    for piece in ("://a:", "://", "a.", "?pass", "://a:'", "?a-", "://a: ", ":/?"):
        redact_command(f"{piece * 400_000}@")
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "url",
    [
        "sftp://me:S3cret@127.0.0.1:1/x",
        "sftp://me:S3cret@/x",
        "sftp://me:12/S3cret@127.0.0.1/x",
        "nonsense://me:S3cret@x/y",
        "nonsense://me:my S3cret@x/y",
    ],
)
def test_no_password_in_an_error(url: str) -> None:
    with pytest.raises(UserError, match=r"me:\*\*\*@") as caught:
        Remote(url)
    assert "S3cret" not in str(caught.value)


def test_no_password_in_a_message_that_shows_an_argument() -> None:
    assert redact("remote=sftp://me:my S3cret@h/x{: wrong") == "remote=sftp://me:***@h/x{: wrong"
    assert redact("sftp://me:S3cret@h/x: no me@h there") == "sftp://me:***@h/x: no me@h there"
    for place in ("sftp://h/x", "sftp://h:22/x", "sftp://me@h:22/x"):
        assert redact(f"remote {place}: me@h: denied") == f"remote {place}: me@h: denied"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("remote=sftp//me:S3cret@h/x", "remote=sftp//me:***@h/x"),
        ("remote=sftp:me:S3cret@h/x", "remote=sftp:***@h/x"),
        ("remote=me:S3c/ret@h", "remote=me:***@h"),
        ("remote=sftp://me:S3cret", "remote=sftp://me:***"),
        ("sftp://me:S3cret/h/x", "sftp://me:***/h/x"),
        ("sftp://me:22x/h", "sftp://me:***/h"),
        ("sftp://h:22/x", "sftp://h:22/x"),
        ("sftp://h:22", "sftp://h:22"),
        ("sftp://[::1]:22/x", "sftp://[::1]:22/x"),
        ("proposals:val", "proposals:val"),
        ("/data/me@here/a:b", "/data/me@here/a:b"),
    ],
)
def test_a_password_in_a_mistyped_address_is_hidden(given: str, told: str) -> None:
    assert redact(given) == redact(redact(given)) == told
