"""`verify` finds each kind of damage, done by hand, and nothing in a store that is whole."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.store import accepted, lock, pins, runs
from unidet.store.disk import make_folder, read_plain
from unidet.store.hashing import sha256_bytes, sha256_file
from unidet.store.places import require_folders
from unidet.store.record import FORMAT, Action, record_of, with_checksum
from unidet.store.repair import MOVED, SET_ASIDE, free_folders, repair
from unidet.store.store import Store
from unidet.store.verify import verify

Publish = Callable[..., Action]


def kinds(store: Store) -> list[tuple[str, str]]:
    return [(one.kind, Path(one.path).name) for one in verify(store).problems]


def blob_of(store: Store, action: Action, name: str) -> Path:
    return store.layout.blob(action.files[name].sha256)


def test_an_empty_store_and_a_whole_one(store: Store, publish: Publish) -> None:
    assert verify(store).problems == ()
    publish({"a": b"one", "b/c": b"two"})
    found = verify(store)
    assert (found.blobs, found.records, found.problems) == (2, 1, ())


def test_a_flipped_bit(store: Store, publish: Publish) -> None:
    blob = blob_of(store, publish({"a": b"one", "b": b"two"}), "a")
    blob.chmod(0o644)
    blob.write_bytes(b"onf")
    assert kinds(store) == [("altered", blob.name)]
    assert "rpn/a" in verify(store).problems[0].detail


def test_what_the_disk_gives_no_more_is_named_and_the_rest_is_read(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = publish({"a": b"one", "b": b"two"})
    blob, other = blob_of(store, action, "a"), blob_of(store, action, "b")
    other.chmod(0o644)
    other.write_bytes(b"onf")

    def failing(path: Path) -> str:
        if path == blob:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return sha256_file(path)

    for module in ("verify", "repair"):
        monkeypatch.setattr(f"unidet.store.{module}.sha256_file", failing)
    assert sorted(kinds(store)) == sorted([("altered", blob.name), ("altered", other.name)])
    details = [problem.detail for problem in verify(store).problems]
    assert "cannot be read (Input/output error); used by rpn/a" in details
    fates = repair(store, verify(store), None, lambda *keys: None)
    assert list(fates.values()) == [SET_ASIDE, SET_ASIDE]
    assert len(list(store.layout.trash.glob(f"{blob.name}.*"))) == 1


def test_a_pin_without_a_digest_as_its_name(store: Store, publish: Publish) -> None:
    action = publish({"a": b"one"})
    pins.pin(store.layout, action)
    assert kinds(store) == []
    (store.layout.pins / action.output[:12]).touch()  # made by hand: it protects nothing
    assert kinds(store) == [("unexpected", action.output[:12])]


def test_what_goes_while_it_is_read_is_no_problem(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean-up beside, and marks of processes that end."""
    gone = publish({"a": b"one"}, seed=1)
    publish({"a": b"two"}, seed=2)
    record, blob = store.layout.record(gone.key), blob_of(store, gone, "a")
    mark = store.layout.live()
    mark.parent.mkdir(parents=True)
    mark.touch()

    def then_gone(read: Callable[[Path], Any], *those: Path) -> Callable[[Path], Any]:
        def gone(path: Path, *more: Any) -> Any:
            if path in those:
                path.unlink()
            return read(path, *more)

        return gone

    with monkeypatch.context() as patched:
        patched.setattr("unidet.store.verify.sha256_file", then_gone(sha256_file, blob))
        patched.setattr(Path, "lstat", then_gone(Path.lstat, mark))
        patched.setattr("unidet.store.verify.read_plain", then_gone(read_plain, record))
        found = verify(store)
    assert (found.blobs, found.records, found.problems) == (2, 2, ())


def test_an_artefact_dropped_after_its_record_was_read_lacks_nothing(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = publish({"a": b"one"})

    def dropped(key: str, data: bytes) -> Action:
        store.layout.record(action.key).unlink()
        blob_of(store, action, "a").unlink()
        return record_of(key, data)

    monkeypatch.setattr("unidet.store.verify.record_of", dropped)
    assert verify(store).problems == ()


def test_what_went_before_its_repair_stops_nothing(store: Store, publish: Publish) -> None:
    first, second = publish({"a": b"one"}, seed=1), publish({"a": b"two"}, seed=2)
    for action in (first, second):
        store.layout.record(action.key).write_bytes(b"{}")
    found = verify(store)
    store.layout.record(first.key).unlink()
    fates = repair(store, found, None, lambda *keys: None)
    assert [*fates.values()] == [SET_ASIDE]


def test_a_missing_blob(store: Store, publish: Publish) -> None:
    blob = blob_of(store, publish({"a": b"one"}), "a")
    blob.unlink()
    assert kinds(store) == [("missing", blob.name)]


def test_a_damaged_record(store: Store, publish: Publish) -> None:
    path = store.layout.record(publish({"a": b"one"}).key)
    path.write_bytes(path.read_bytes()[:-40])
    assert kinds(store) == [("damaged", path.name)]


def test_the_record_of_a_later_version_is_left_to_it(store: Store, publish: Publish) -> None:
    path = store.layout.record(publish({"a": b"one"}).key)
    later = with_checksum({**json.loads(path.read_bytes()), "format": FORMAT + 1})
    path.write_bytes(later)
    found = verify(store)
    (problem,) = found.problems
    assert (problem.kind, problem.detail) == (
        "unreadable",
        f"a record of format {FORMAT + 1}, from a later version; update unidet",
    )
    assert repair(store, found, None, lambda *keys: None) == {}
    assert path.read_bytes() == later


def test_a_record_whose_preimage_was_edited(store: Store, publish: Publish) -> None:
    path = store.layout.record(publish({"a": b"one"}, seed=11).key)
    path.write_bytes(path.read_bytes().replace(b'"seed": 11', b'"seed": 12'))
    assert kinds(store) == [("damaged", path.name)]


@pytest.mark.parametrize("place", ["blobs", "blobs/sha256"])
def test_what_stands_in_place_of_all_content_is_named(
    store: Store, publish: Publish, place: str
) -> None:
    action = publish({"a": b"one"})
    folder = store.layout.base / place
    shutil.rmtree(folder)
    for replace in (folder.touch, lambda: folder.symlink_to(folder)):
        replace()
        assert not store.is_complete(action)
        assert {kind for kind, _ in kinds(store)} >= {"missing"}
        folder.unlink()


@pytest.mark.parametrize("group", ["blobs", "actions", "locks", "refs"])
def test_a_link_in_place_of_a_folder_is_named_and_not_followed(
    store: Store, publish: Publish, tmp_path: Path, group: str
) -> None:
    """One to / would have all files of the machine read."""
    publish({"a": b"one"})
    (tmp_path / "elsewhere/sha256").mkdir(parents=True)
    (tmp_path / "elsewhere/sha256/stranger").touch()
    shutil.rmtree(store.layout.base / group, ignore_errors=True)
    (store.layout.base / group).symlink_to(tmp_path / "elsewhere")
    found = verify(store)
    assert ("unexpected", group) in [(one.kind, one.path) for one in found.problems]
    assert "stranger" not in "".join(one.path for one in found.problems)


@pytest.mark.parametrize("name", ["trash", "trash/blobs", "work", "refs/pins", "refs/accepted/rpn"])
def test_a_link_in_place_of_a_folder_that_is_not_read_is_named(
    store: Store, publish: Publish, tmp_path: Path, name: str
) -> None:
    publish({"a": b"one"})
    shutil.rmtree(store.layout.base / name, ignore_errors=True)
    (store.layout.base / name).parent.mkdir(parents=True, exist_ok=True)
    (store.layout.base / name).symlink_to(tmp_path)
    assert [(one.kind, one.path) for one in verify(store).problems] == [("unexpected", name)]


@pytest.mark.parametrize(
    "name", ["work", "refs", "refs/accepted", "blobs", "blobs/sha256", "trash"]
)
def test_a_repair_takes_nothing_from_where_a_link_leads(
    store: Store, publish: Publish, tmp_path: Path, name: str
) -> None:
    """Files there have the names of folders of the store, or any name, and are somebody's."""
    publish({"a": b"one"})
    home = tmp_path / "home"
    for mine in (DIGEST, "notes.txt", "pins", "accepted/roi", "blobs", "sha256/ab", "ab"):
        (home / mine).parent.mkdir(parents=True, exist_ok=True)
        (home / mine).write_text("mine")
    before = sorted(home.rglob("*"))
    shutil.rmtree(store.layout.base / name, ignore_errors=True)
    (store.layout.base / name).parent.mkdir(parents=True, exist_ok=True)
    (store.layout.base / name).symlink_to(home)
    assert free_folders(store) == {}
    found = verify(store)
    repair(store, found, None, lambda *keys: None)
    assert sorted(home.rglob("*")) == before
    assert [one.path for one in found.problems if one.kind != "missing"] == [name]


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
@pytest.mark.parametrize("name", ["trash", "trash/records", "work", "stat-cache"])
def test_what_is_no_folder_in_place_of_one_that_is_not_read_is_named(
    store: Store, publish: Publish, make: Callable[[Path], None], name: str
) -> None:
    publish({"a": b"one"})
    place = store.layout.base / name
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(exist_ok=True)
    make(place)
    assert [(one.kind, one.path) for one in verify(store).problems] == [("damaged", name)]


def test_strangers_and_links(store: Store, publish: Publish) -> None:
    action = publish({"a": b"one"})
    blob = blob_of(store, action, "a")
    (blob.parent / "notes.txt").write_text("mine")
    (blob.parent / ("0" * 64)).symlink_to(blob)
    (store.layout.record(action.key).parent / "copy.json").write_text("{}")
    found = kinds(store)
    assert sorted(found) == [
        ("unexpected", "0" * 64),
        ("unexpected", "copy.json"),
        ("unexpected", "notes.txt"),
    ]


# --- a folder in place of a file, and a file in place of a folder -------------------------------

DIGEST = "ab" + "0" * 62


def taken(place: Path) -> None:
    """A folder with something in it stands where a file belongs."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.mkdir()
    (place / "notes").touch()


def in_trash(store: Store) -> list[str]:
    return sorted(path.name.partition(".")[0] for path in store.layout.trash.glob("*.*"))


def test_content_goes_where_a_folder_has_its_name(store: Store, publish: Publish) -> None:
    """A stage would have worked for long, and its result found no place."""
    sha256 = sha256_bytes(b"one")
    taken(store.layout.blob(sha256))
    action = publish({"a": b"one"})
    assert store.lookup(action.key) == action
    assert (in_trash(store), verify(store).problems) == ([sha256], ())


def test_a_folder_in_place_of_content_is_altered_and_goes(store: Store, publish: Publish) -> None:
    action = publish({"a": b"one"})
    blob = blob_of(store, action, "a")
    taken(blob)
    found = verify(store)
    assert [(one.kind, Path(one.path).name) for one in found.problems] == [("altered", blob.name)]
    assert [*repair(store, found, None, lambda *keys: None).values()] == [SET_ASIDE]
    assert (in_trash(store), kinds(store)) == ([blob.name], [("missing", blob.name)])
    assert publish({"a": b"one"}) == action
    assert verify(store).problems == ()


def test_content_in_the_trash_takes_the_place_of_a_folder(store: Store, publish: Publish) -> None:
    action = publish({"a": b"one"})
    blob = blob_of(store, action, "a")
    store.layout.dropped_blobs.mkdir(parents=True)
    blob.rename(store.layout.dropped_blobs / blob.name)
    taken(blob)
    repair(store, verify(store), None, lambda *keys: None)
    assert store.lookup(action.key) == action
    assert verify(store).problems == ()


PLACES = (
    *("blobs", "blobs/sha256", f"blobs/sha256/{DIGEST[:2]}", "actions", f"actions/{DIGEST[:2]}"),
    *(f"actions/{DIGEST[:2]}/{DIGEST}.differs", f"work/{DIGEST}", "work", "locks", "stat-cache"),
    *("refs", "refs/runs", "refs/pins", "refs/accepted", "refs/accepted/rpn", "trash/records"),
)


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo])
@pytest.mark.parametrize("name", PLACES)
def test_a_file_in_place_of_a_folder_is_told_before_work_and_goes(
    store: Store, publish: Publish, make: Callable[[Path], None], name: str
) -> None:
    publish({"a": b"one"})
    place = store.layout.base / name
    require_folders(store.layout)
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    make(place)
    with pytest.raises(UserError, match=r"is not a folder, .*; run: unidet verify --repair"):
        require_folders(store.layout)
    found = [(one.kind, one.path) for one in verify(store).problems if one.kind != "missing"]
    assert found == [("damaged", name)]
    assert free_folders(store) == {name: MOVED}
    require_folders(store.layout)
    assert not [one for one in verify(store).problems if one.kind != "missing"]
    assert len(in_trash(store)) == 1
    assert publish({"a": b"one"}).files
    assert verify(store).problems == ()


@pytest.mark.parametrize("name", ["../v1", "trash", "../../artefacts"])
def test_what_cannot_go_to_the_trash_is_to_be_moved(store: Store, name: str) -> None:
    place = store.layout.base / name
    place.parent.resolve().mkdir(parents=True, exist_ok=True)
    Path(os.path.normpath(place)).touch()
    with pytest.raises(UserError, match="is not a folder, where the store needs one; move it"):
        require_folders(store.layout)


def test_a_link_that_leads_to_no_folder_is_told_before_work(store: Store, publish: Publish) -> None:
    publish({"a": b"one"})
    store.layout.blobs.joinpath("ff").symlink_to("nowhere")
    with pytest.raises(UserError, match="where the store needs one; remove the link"):
        require_folders(store.layout)


def test_a_folder_in_place_of_a_lock_goes(store: Store, publish: Publish) -> None:
    taken(store.layout.lock(DIGEST))
    with (
        pytest.raises(UserError, match="a folder where a file belongs; move it elsewhere"),
        store.locked(DIGEST),
    ):
        pass
    found = verify(store)
    assert [(one.kind, one.path) for one in found.problems] == [("damaged", f"locks/{DIGEST}.lock")]
    repair(store, found, None, lambda *keys: None)
    with store.locked(DIGEST):
        pass


def test_a_folder_where_a_folder_cannot_be_made_is_no_success(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError):
            make_folder(path)


@pytest.mark.parametrize(
    ("damage", "count"),
    [
        (lambda data: data[:-9], "1 line"),
        (lambda data: data + b"\0" * 4096, "1 line"),
        (lambda data: data + b"no JSON\n[]\n", "2 lines"),
        (lambda data: data.replace(b'"stage": ', b'"\xff": ', 1), "1 line"),
        (lambda data: data + b"[" * 100_000 + b"\n", "1 line"),
    ],
)
def test_lines_of_the_log_of_runs_that_cannot_be_read(
    store: Store, damage: Callable[[bytes], bytes], count: str
) -> None:
    for key in "012":
        store.log_run("rpn", key * 64, "ran")
    assert verify(store).problems == ()
    (log,) = store.layout.runs.iterdir()
    damaged = damage(log.read_bytes())
    log.write_bytes(damaged)
    found, before = verify(store), list(store.runs())
    (problem,) = found.problems
    assert (problem.kind, problem.path) == ("damaged", f"refs/runs/{log.name}")
    assert problem.detail.startswith(f"{count} cannot be read")
    (fate,) = repair(store, found, None, lambda *keys: None).values()
    assert fate.startswith(f"{count} emptied, a copy set aside")
    assert verify(store).problems == ()
    assert list(store.runs()) == before
    assert len(before) >= 2
    (copy,) = store.layout.trash.glob(f"{log.name}.*")
    assert copy.read_bytes() == damaged
    store.log_run("rpn", "3" * 64, "ran")
    assert [run.key for run in store.runs()] == ["3" * 64, *(run.key for run in before)]


def endless(path: Path) -> Path:
    """A file that no memory holds, though no disk either: it is sparse."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, 1 << 40)
    return path


def test_what_is_larger_than_a_log_is_named_and_passed_over(store: Store) -> None:
    store.log_run("rpn", "1" * 64, "ran")
    log = endless(store.layout.runs / "2001-01.jsonl")
    assert [run.key for run in store.runs()] == ["1" * 64]
    assert runs.count_unreadable(store.layout.runs) == 0
    found = verify(store)
    assert [(one.kind, Path(one.path).name) for one in found.problems] == [("unexpected", log.name)]
    assert "1099511627776 bytes, more than" in found.problems[0].detail
    assert repair(store, found, None, lambda *keys: None) == {}
    assert log.exists()


def test_what_is_larger_than_a_record_is_none(store: Store, publish: Publish) -> None:
    action = publish({"a": b"one"})
    endless(store.layout.pin(action.key))
    declaration = endless(store.layout.accepted / "rpn" / f"{DIGEST}.json")
    endless(store.layout.stat_cache / "actions")
    owner = endless(store.layout.lock(DIGEST).with_suffix(".owner"))
    assert [mark.key for mark in pins.pins(store.layout)] == [action.key]
    assert [one.key for one in store.actions()] == [action.key]
    assert lock.read_owner(owner) is None
    found = verify(store)
    assert [(one.kind, Path(one.path).name) for one in found.problems] == [
        ("damaged", declaration.name)
    ]
    assert repair(store, found, None, lambda *keys: None).popitem()[1] == SET_ASIDE
    assert verify(store).problems == ()


def test_a_request_that_a_later_version_has_logged_is_left_to_it(store: Store) -> None:
    store.log_run("rpn", "0" * 64, "ran")
    (log,) = store.layout.runs.iterdir()
    line = {**json.loads(log.read_bytes()), "later": 1}
    del line["checksum"]
    text = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    log.write_text(json.dumps({**line, "checksum": sha256_bytes(text)}))
    assert verify(store).problems == ()
    assert list(store.runs()) == []


def test_a_request_that_the_first_versions_have_logged_has_no_checksum(store: Store) -> None:
    store.log_run("rpn", "0" * 64, "ran")
    (log,) = store.layout.runs.iterdir()
    line, before = json.loads(log.read_bytes()), list(store.runs())
    del line["checksum"]
    log.write_text(json.dumps(line))
    assert verify(store).problems == ()
    assert list(store.runs()) == before


def test_no_flipped_bit_changes_a_request(store: Store) -> None:
    """`gc --keep-last` keeps what these lines say was asked for last."""
    store.log_run("rpn", "0" * 64, "ran")
    (log,) = store.layout.runs.iterdir()
    whole, before = log.read_bytes(), list(store.runs())
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        log.write_bytes(flipped)
        if list(store.runs()) != before:
            assert list(store.runs()) == []
            assert runs.unreadable(log)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-9],
        lambda data: data.replace(b'"equals": "0', b'"equals": "g'),
        lambda data: data.replace(b'"code": "1', b'"code": "2'),
        lambda data: b"[" * 100_000,
    ],
)
def test_a_declaration_that_cannot_be_read(store: Store, damage: Callable[[bytes], bytes]) -> None:
    """Otherwise its stage would train again, and nothing would say why."""
    accepted.accept(store.layout, "roi", "1" * 64, "0" * 64)
    assert verify(store).problems == ()
    (place,) = store.layout.accepted.glob("*/*")
    place.write_bytes(damage(place.read_bytes()))
    found = verify(store)
    path = f"refs/accepted/roi/{place.name}"
    assert [(one.kind, one.path) for one in found.problems] == [("damaged", path)]
    assert list(repair(store, found, None, lambda *keys: None)) == [path]
    assert verify(store).problems == ()
    accepted.accept(store.layout, "roi", "1" * 64, "0" * 64)
    assert list(accepted.chain(store.layout, "roi", "1" * 64))


def test_a_record_of_another_stage_than_its_preimage_is_damaged(
    store: Store, publish: Publish
) -> None:
    """A remote's would be refused, and its key does not tell, as the preimage is the same."""
    path = store.layout.record(publish({"a": b"one"}, stage="rpn").key)
    path.chmod(0o644)
    path.write_bytes(with_checksum({**json.loads(path.read_bytes()), "stage": "roi"}))
    (problem,) = verify(store).problems
    assert (problem.kind, problem.detail) == ("damaged", "its stage is not that of its preimage")
