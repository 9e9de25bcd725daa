"""A clean-up drops what it may, in the right order, and nothing that anybody needs."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.store import gc as sweeping
from unidet.store import live
from unidet.store.gc import cleaning, drop, drop_unfinished, sweep
from unidet.store.gc_plan import obstacles, plan
from unidet.store.live import in_use, used
from unidet.store.pins import pin, unpin
from unidet.store.record import Action
from unidet.store.remote import Remote
from unidet.store.store import Store, key_of
from unidet.store.transfer import fetch, push
from unidet.store.verify import verify

Publish = Callable[..., Action]


def dropped(store: Store, **limits: int) -> list[str]:
    return [one.action.key for one in plan(store, **limits).drops]


def clean(store: Store, grace: float = 0.0, **limits: int) -> None:
    with cleaning(store):
        drop(store, [one.action for one in plan(store, **limits).drops])
        sweep(store, grace, 0.0)


def blobs(store: Store) -> list[bytes]:
    return sorted(path.read_bytes() for path in store.layout.blobs.glob("??/*"))


def test_nothing_goes_while_it_is_not_known_what_must_stay(store: Store, publish: Publish) -> None:
    """A repair sets a damaged record aside, and with it goes what it said of its inputs."""
    data = publish({"a": b"data"}, stage="data")
    rpn = publish({"a": b"weights"}, stage="rpn", inputs=[data])
    roi = publish({"a": b"roi"}, stage="roi", inputs=[rpn])
    other = publish({"a": b"of nothing"}, stage="roi", seed=2)
    pin(store.layout, roi)
    store.layout.record(rpn.key).unlink()
    with pytest.raises(UserError, match=f"made.*no record.*unidet rm {roi.output[:12]}"):
        plan(store, keep_last=0)
    unpin(store.layout, roi.key)
    assert set(dropped(store, keep_last=0)) == {data.key, roi.key, other.key}
    pin(store.layout, roi)
    store.layout.record(roi.key).unlink()
    with pytest.raises(UserError, match=f"no record any more.*unidet unpin {roi.key[:12]}"):
        plan(store, max_bytes=0)
    assert plan(store).drops == ()
    unpin(store.layout, roi.key)
    assert set(dropped(store, keep_last=0)) == {data.key, other.key}


# --- choosing ----------------------------------------------------------------------------------


def test_without_a_limit_no_artefact_goes(store: Store, publish: Publish) -> None:
    publish({"a": b"1"})
    publish({"a": b"2"}, seed=2)
    assert plan(store).drops == ()


def test_keep_last_keeps_the_newest_of_every_stage(store: Store, publish: Publish) -> None:
    rpn = [publish({"a": b"%d" % seed}, stage="rpn", seed=seed) for seed in range(3)]
    roi = publish({"a": b"x"}, stage="roi")
    assert set(dropped(store, keep_last=2)) == {rpn[0].key}
    assert set(dropped(store, keep_last=1)) == {rpn[0].key, rpn[1].key}
    assert set(dropped(store, keep_last=0)) == {*(one.key for one in rpn), roi.key}


def test_what_was_asked_for_last_counts_as_new(store: Store, publish: Publish) -> None:
    old, new = publish({"a": b"1"}, seed=1), publish({"a": b"2"}, seed=2)
    store.log_run("rpn", old.key, "cached")
    assert dropped(store, keep_last=1) == [new.key]


@pytest.mark.parametrize("wrong", ["1970-01-01", "2099-01-01"])
def test_a_clock_that_was_wrong_for_a_while_changes_no_order(
    store: Store, publish: Publish, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = datetime.fromisoformat(f"{wrong}T00:00+00:00").timestamp()
    one, other = publish({"a": b"1"}, seed=1), publish({"a": b"2"}, seed=2)
    store.log_run("rpn", one.key, "ran")
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: clock)
        store.log_run("rpn", other.key, "ran")
    os.utime(store.layout.record(other.key), (clock, clock))
    assert dropped(store, keep_last=1) == [one.key]
    store.log_run("rpn", one.key, "cached")
    assert dropped(store, keep_last=1) == [other.key]


def test_a_copy_of_the_store_that_keeps_no_times_changes_no_order(
    store: Store, publish: Publish
) -> None:
    """`cp -r` gives all records the time of the copying, in the order in which it lists them."""
    remote = Remote(str(store.root))
    first, second, third = (publish({"a": b"%d" % seed}, seed=seed) for seed in range(3))
    copy = Store(store.root.with_name("copy"))
    for action in (second, first, third):
        fetch(copy, remote, action.key, lambda *keys: None)
    for number, action in enumerate((first, third, second)):
        later = time.time() - 10 + number
        os.utime(copy.layout.record(action.key), (later, later))
    assert dropped(copy, keep_last=1) == [first.key, second.key]
    copy.log_run("rpn", first.key, "cached")
    assert dropped(copy, keep_last=1) == [second.key, third.key]


def test_a_renamed_set_keeps_what_was_made_under_its_old_name(
    store: Store, publish: Publish
) -> None:
    """`first` was made for a set that is called `renamed` now; `second` is the set's namesake."""
    first = publish({"a": b"1"}, stage="rpn", seed=1)
    second = publish({"a": b"2"}, stage="rpn", seed=2)
    store.log_run("rpn", first.key, "cached", "renamed")
    store.log_run("rpn", second.key, "ran", "")
    assert dropped(store, keep_last=1) == []


def test_big_and_cheap_goes_before_small_and_dear(store: Store, publish: Publish) -> None:
    """1000 B for 1 s, 2000 B for 4 s, 30 B for 30 s: 1000, 500 and 1 bytes per second."""
    kept = publish({"a": b"k"}, stage="rpn", seconds=10.0, seed=0)
    dear = publish({"a": b"c" * 30}, stage="a", seconds=30.0, seed=1)
    cheap = publish({"a": b"a" * 1000}, stage="b", seconds=1.0, seed=2)
    middle = publish({"a": b"b" * 2000}, stage="c", seconds=4.0, seed=3)
    assert dropped(store, max_bytes=1, keep_last=0)[:3] == [cheap.key, middle.key, dear.key]
    assert dropped(store, max_bytes=3031, keep_last=0) == []
    assert dropped(store, max_bytes=3030, keep_last=0) == [cheap.key]
    assert dropped(store, max_bytes=2031, keep_last=0) == [cheap.key]
    assert dropped(store, max_bytes=2030, keep_last=0) == [cheap.key, middle.key]
    found = plan(store, max_bytes=2030, keep_last=0)
    assert (found.before, found.after, found.stay) == (3031, 31, 2)
    assert dropped(store, max_bytes=1) == []  # each is the last of its stage
    assert kept.key not in dropped(store, max_bytes=1)


def test_shared_content_counts_for_who_is_left_with_it(store: Store, publish: Publish) -> None:
    """Both hold 1000 shared bytes; alone are 1 and 2. Once one is gone, the other frees 1002."""
    one = publish({"s": b"s" * 1000, "a": b"1"}, stage="a", seconds=1.0)
    two = publish({"s": b"s" * 1000, "a": b"22"}, stage="b", seconds=1.0)
    found = plan(store, keep_last=0).drops
    assert [(drop.action.key, drop.frees) for drop in found] == [(two.key, 2), (one.key, 1001)]


def test_who_inherits_content_moves_up(store: Store, publish: Publish) -> None:
    """600, 500 and 1 bytes a second; without the first, the last has its 1000 alone: 1001."""
    first = publish({"s": b"s" * 1000, "a": b"1" * 600}, stage="a", seconds=1.0)
    other = publish({"a": b"2" * 500}, stage="b", seconds=1.0)
    heir = publish({"s": b"s" * 1000, "a": b"3"}, stage="c", seconds=1.0)
    assert dropped(store, keep_last=0) == [first.key, heir.key, other.key]


def test_an_input_goes_only_after_what_was_made_from_it(store: Store, publish: Publish) -> None:
    """The cheap input frees most, but its user has to go first."""
    data = publish({"a": b"d" * 5000}, stage="data", seconds=0.1)
    rpn = publish({"a": b"r"}, stage="rpn", inputs=[data], seconds=1e6)
    other = publish({"a": b"o" * 10}, stage="clip", seconds=1.0)
    assert dropped(store, keep_last=0) == [other.key, rpn.key, data.key]


# --- what stays --------------------------------------------------------------------------------


def test_pins_keep_all_they_were_made_from(store: Store, publish: Publish) -> None:
    data = publish({"a": b"d"}, stage="data")
    rpn = publish({"a": b"r"}, stage="rpn", inputs=[data])
    roi = publish({"a": b"o"}, stage="roi", inputs=[rpn])
    pin(store.layout, rpn)
    assert dropped(store, keep_last=0) == [roi.key]
    clean(store, keep_last=0)
    assert store.lookup(data.key) == data
    assert blobs(store) == [b"d", b"r"]
    unpin(store.layout, rpn.key)
    assert set(dropped(store, keep_last=0)) == {data.key, rpn.key}


def test_what_a_kept_artefact_needs_stays(store: Store, publish: Publish) -> None:
    old = publish({"a": b"1"}, stage="data", seed=1)
    publish({"a": b"r"}, stage="rpn", inputs=[old])
    publish({"a": b"2"}, stage="data", seed=2)
    assert dropped(store, keep_last=1) == []


USER = """
import sys, time
from pathlib import Path
from unidet.store.live import in_use
from unidet.store.store import Store
with in_use(Store(Path(sys.argv[1])).layout) as use:
    use(sys.argv[2])
    print("used", flush=True)
    time.sleep(600)
"""


def test_what_a_living_process_uses_stays_until_it_dies(store: Store, publish: Publish) -> None:
    data = publish({"a": b"d"}, stage="data")
    rpn = publish({"a": b"r"}, stage="rpn", inputs=[data])
    arguments = [sys.executable, "-c", USER, str(store.root), rpn.key]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "used\n"
            assert dropped(store, keep_last=0) == []
            assert obstacles(store, rpn) == ["a running process uses it"]
        finally:
            process.kill()
    assert set(dropped(store, keep_last=0)) == {data.key, rpn.key}
    assert list(store.layout.runs.glob("*.live")) == []


def test_a_mark_taken_for_a_dead_ones_is_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another clock may call a file old that was made this moment and is not yet locked."""
    lock = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        with monkeypatch.context() as patched:
            now = time.time()
            patched.setattr(time, "time", lambda: now + 2 * live.JUST_MADE_SECONDS)
            assert used(store.layout.runs) == set()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with in_use(store.layout) as use:
        use("ab" * 32)
        assert used(store.layout.runs) == {"ab" * 32}


def test_marks_end_with_the_block_and_stay_while_read(store: Store) -> None:
    with in_use(store.layout) as use:
        use("a" * 64)
        use("b" * 64, "c" * 64)
        for _ in range(2):
            assert used(store.layout.runs) == {"a" * 64, "b" * 64, "c" * 64}
    assert used(store.layout.runs) == set()


def test_marks_are_whole_where_the_disk_takes_few_bytes_at_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with in_use(store.layout) as use:
        monkeypatch.setattr("os.write", lambda descriptor, data: write(descriptor, data[:70]))
        use("a" * 64, "b" * 64)
        assert used(store.layout.runs) == {"a" * 64, "b" * 64}


def test_an_artefact_alone_is_not_removed_from_under_another(
    store: Store, publish: Publish
) -> None:
    data = publish({"a": b"d"}, stage="data")
    rpn = publish({"a": b"r"}, stage="rpn", inputs=[data])
    assert obstacles(store, data) == [f"rpn {rpn.output[:12]} was made from it"]
    assert obstacles(store, rpn) == []
    pin(store.layout, rpn)
    assert obstacles(store, rpn) == ["it is pinned"]


def test_nothing_is_done_while_a_record_cannot_be_read(store: Store, publish: Publish) -> None:
    action = publish({"a": b"1"})
    store.layout.record(action.key).write_bytes(b"{}")
    with pytest.raises(UserError, match="cannot be read, so what it needs is not known"):
        plan(store, keep_last=0)
    with pytest.raises(UserError, match="cannot be read"):
        sweep(store, 0.0, 0.0)
    assert blobs(store) == [b"1"]


# --- two phases --------------------------------------------------------------------------------


def test_dropped_content_waits_in_the_trash(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = publish({"a": b"12345"})
    folder = store.folder(action)
    long_ago = time.time() - 7200
    os.utime(store.layout.blob(action.files["a"].sha256), (long_ago, long_ago))
    clean(store, grace=3600.0, keep_last=0)
    assert store.lookup(action.key) is None
    assert not folder.exists()
    assert blobs(store) == []
    (waiting,) = store.layout.dropped_blobs.iterdir()
    assert waiting.read_bytes() == b"12345"
    os.utime(waiting, (long_ago, long_ago))  # as of another user's file, which may not be touched
    clean(store, grace=3600.0)
    assert waiting.exists()
    later = time.time() + 7200
    monkeypatch.setattr("unidet.store.gc.time.time", lambda: later)
    clean(store, grace=3600.0)
    assert list(store.layout.trash.glob("*/*")) == []
    assert verify(store).problems == ()


def test_young_content_without_a_record_is_left_alone(store: Store, publish: Publish) -> None:
    action = publish({"a": b"1"})
    clean(store, grace=3600.0, keep_last=0)
    assert store.lookup(action.key) is None
    assert blobs(store) == [b"1"]
    publish({"a": b"1"})
    clean(store, grace=0.0)
    assert blobs(store) == [b"1"]


def test_content_that_another_artefact_has_too_stays(store: Store, publish: Publish) -> None:
    one = publish({"a": b"same"}, stage="a")
    two = publish({"a": b"same"}, stage="b")
    store.folder(two)
    with cleaning(store):
        assert drop(store, [one]) == [one]
        sweep(store, 0.0, 0.0)
    assert store.lookup(two.key) == two
    assert blobs(store) == [b"same"]


def test_a_folder_to_which_somebody_added_a_file_stays(store: Store, publish: Publish) -> None:
    folder = store.folder(publish({"a": b"1"}))
    (folder / "notes.txt").write_text("mine")
    clean(store, keep_last=0)
    assert (folder / "notes.txt").read_text() == "mine"
    (folder / "notes.txt").unlink()
    clean(store)
    assert not folder.exists()


def test_a_record_that_came_into_use_meanwhile_comes_back(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody pins it after the choice was made, just when its record is in the trash."""
    data = publish({"a": b"d"}, stage="data")
    rpn = publish({"a": b"r"}, stage="rpn", inputs=[data])
    into = sweeping._move_to_trash

    def pinning(path: Path, folder: Path) -> bool:
        moved = into(path, folder)
        pin(store.layout, rpn)
        return moved

    monkeypatch.setattr(sweeping, "_move_to_trash", pinning)
    assert drop(store, [rpn, data]) == []
    sweep(store, 0.0, 0.0)
    assert store.lookup(data.key) == data
    assert store.lookup(rpn.key) == rpn
    assert verify(store).problems == ()


def moved_by(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that a clean-up takes from their place, even for a moment."""
    moved: list[str] = []
    into = sweeping._move_to_trash

    def noting(path: Path, folder: Path) -> bool:
        moved.append(path.name)
        assert path.suffix != ".json" or store.owner(path.stem) is not None
        return into(path, folder)

    monkeypatch.setattr(sweeping, "_move_to_trash", noting)
    return moved


def test_what_is_in_use_does_not_leave_its_place_for_a_moment(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    action, other = publish({"a": b"1"}, seed=1), publish({"a": b"2"}, seed=2)
    moved = moved_by(store, monkeypatch)
    with in_use(store.layout) as use:
        use(action.key)
        assert drop(store, [action, other]) == [other]
    assert moved == [f"{other.key}.json"]


def test_a_record_whose_key_is_locked_stays(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    action = publish({"a": b"1"})
    moved = moved_by(store, monkeypatch)
    with store.locked(action.key):
        assert drop(store, [action]) == []
    assert moved == []
    assert drop(store, [action]) == [action]


def test_a_publication_beside_a_clean_up_loses_no_content(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blob is taken just before its record appears: the publishing side brings it back."""
    commit = Store._commit

    def sweeping_first(self: Store, action: Action) -> Action:
        sweep(store, 0.0, 0.0)
        assert blobs(store) == []
        return commit(self, action)

    monkeypatch.setattr(Store, "_commit", sweeping_first)
    action = publish({"a": b"one", "b": b"one", "c": b"two"})
    assert store.lookup(action.key) == action
    assert blobs(store) == [b"one", b"two"]


def test_a_clean_up_beside_a_publication_brings_content_back(
    store: Store, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record appears, and its writer looks, just before the blob is taken."""
    action = publish({"a": b"one"})
    record = store.layout.record(action.key)
    hidden = record.with_suffix(".hidden")
    record.rename(hidden)
    into = sweeping._move_to_trash

    def appearing(path: Path, folder: Path) -> bool:
        if hidden.exists():
            hidden.rename(record)
        return into(path, folder)

    monkeypatch.setattr(sweeping, "_move_to_trash", appearing)
    sweep(store, 0.0, 0.0)
    assert not hidden.exists()
    assert store.lookup(action.key) == action
    assert list(store.layout.dropped_blobs.iterdir()) == []


def test_one_clean_up_at_a_time(store: Store) -> None:
    with (
        cleaning(store),
        pytest.raises(UserError, match=f"another clean-up is running in .* process {os.getpid()}"),
        cleaning(store),
    ):
        pass
    with cleaning(store):
        pass


def test_what_the_dead_left_goes_and_unfinished_work_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, other = key_of({"a": 1}), key_of({"a": 2})
    (store.work(key) / "checkpoint").write_bytes(b"step 7")
    (store.work(other) / "checkpoint").write_bytes(b"step 9")
    mine = store.draft(key)
    child = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(child, 0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: child)
        dead = store.draft(other)
    clean(store)
    assert mine.is_dir()
    assert not dead.exists()
    assert (store.work(key) / "checkpoint").read_bytes() == b"step 7"
    assert drop_unfinished(store, 60.0) == 0
    with store.locked(key):
        assert drop_unfinished(store, 0.0) == 1
    assert store.has_work(key)
    assert not store.has_work(other)
    assert mine.is_dir()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to(path)])
@pytest.mark.parametrize("place", ["records/{}.json", "blobs/{}", "{}"])
def test_an_odd_thing_in_the_trash_is_removed_too(
    store: Store, publish: Publish, make: Callable[[Path], None], place: str
) -> None:
    publish({"a": b"1"})
    odd = store.layout.trash / place.format("0" * 64)
    odd.parent.mkdir(parents=True, exist_ok=True)
    make(odd)
    sweep(store, grace=-60, young=0)
    assert not os.path.lexists(odd)


@pytest.mark.parametrize("name", ["zz", "AB", "x1"])
def test_content_elsewhere_is_not_the_store_s(
    store: Store, publish: Publish, tmp_path: Path, name: str
) -> None:
    publish({"a": b"1"})
    foreign = tmp_path / "foreign" / "ab".ljust(64, "0")
    foreign.parent.mkdir()
    foreign.write_bytes(b"a user's")
    link = store.layout.blobs / name
    link.symlink_to(foreign.parent)
    clean(store)
    sweep(store, grace=-60, young=-60)
    assert foreign.read_bytes() == b"a user's"
    (problem,) = verify(store).problems
    assert (problem.kind, problem.detail) == ("unexpected", "a link, where none belongs")


@pytest.mark.parametrize("make", [Path.touch, os.mkfifo, lambda path: path.symlink_to(path)])
def test_what_is_no_folder_of_work_stops_no_clean_up(
    store: Store, publish: Publish, make: Callable[[Path], None]
) -> None:
    publish({"a": b"1"})
    odd = store.layout.work("0" * 64)
    make(odd)
    assert drop_unfinished(store, -60) == 1
    assert not os.path.lexists(odd)


def test_unfinished_work_that_a_living_process_has_marked_stays(store: Store) -> None:
    """Also where its lock is not seen, as between machines on some file systems."""
    key = key_of({"a": 1})
    (store.work(key) / "checkpoint").write_bytes(b"step 7")
    with in_use(store.layout) as use:
        use(key)
        assert drop_unfinished(store, 0.0) == 0
    assert drop_unfinished(store, 0.0) == 1


def test_nobody_begins_to_work_in_what_is_being_removed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = key_of({"a": 1})
    (store.work(key) / "checkpoint").write_bytes(b"step 7")
    discard = sweeping.discard

    def watched(path: Path, trash: Path) -> None:
        assert store.owner(key) is not None
        discard(path, trash)

    monkeypatch.setattr(sweeping, "discard", watched)
    assert drop_unfinished(store, 0.0) == 1


def test_the_draft_of_a_process_in_another_container_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has our host name, and no process of its number is seen here; its lock is."""
    monkeypatch.setattr(live, "_runs", lambda pid: False)
    with in_use(store.layout) as use:
        use(key_of({"a": 1}))
        draft = store.draft(key_of({"a": 1}))
        clean(store)
        assert draft.is_dir()
    clean(store)
    assert not draft.exists()


def test_looking_for_what_is_in_use_removes_no_file_of_a_user(store: Store) -> None:
    """`gc` looks without `--yes` too, and a link may have led it here."""
    store.layout.runs.mkdir(parents=True)
    own = store.layout.live()
    for path in (mine := store.layout.runs / "concert.live", own):
        path.write_text("mine")
    assert live.used(store.layout.runs) == set()
    assert mine.exists()
    assert not own.exists()


def test_files_that_are_not_ours_are_left_alone(store: Store, publish: Publish) -> None:
    action = publish({"a": b"1"})
    stranger = store.layout.blob(action.files["a"].sha256).with_suffix(".txt")
    stranger.write_text("notes")
    clean(store, keep_last=0)
    assert stranger.read_text() == "notes"


@pytest.mark.parametrize(
    "name", ["trash", "trash/blobs", "work", "blobs/sha256/{}", "actions/{}", "../../artefacts"]
)
def test_no_clean_up_where_a_folder_is_a_link(
    store: Store, publish: Publish, tmp_path: Path, name: str
) -> None:
    """A store may come from elsewhere, and its trash lead to the home of who cleans it up."""
    action = publish({"a": b"1"})
    parts = {"blobs/sha256/{}": action.files["a"].sha256, "actions/{}": action.key}
    link = store.layout.base / name.format(parts.get(name, "")[:2])
    link.parent.mkdir(parents=True, exist_ok=True)
    other = tmp_path / "home"
    other.mkdir()
    if link.exists():
        shutil.rmtree(link)
    (other / ("0" * 64)).write_text("mine")
    link.symlink_to(other)
    with pytest.raises(UserError, match="is a link, and a clean-up would"), cleaning(store):
        sweep(store, grace=0, young=0)
    assert (other / ("0" * 64)).read_text() == "mine"


def test_what_was_written_under_a_clock_that_was_ahead_goes_in_time(
    store: Store, publish: Publish
) -> None:
    """Its content, and what is in the trash, would have stayed until that date."""
    action = publish({"model": b"weights"})
    blob = store.layout.blob(action.files["model"].sha256)
    work = store.work("0" * 64)
    ahead = time.time() + 400 * 86400
    store.layout.record(action.key).unlink()
    for path in (blob, work):
        os.utime(path, (ahead, ahead))
    with cleaning(store):
        assert drop_unfinished(store, 3600.0) == 0
        sweep(store)
    assert blob.exists()
    assert all(path.stat().st_mtime <= time.time() for path in (blob, work))
    with cleaning(store):
        assert drop_unfinished(store, 0.0) == 1
        sweep(store, 0.0, 0.0)
    assert not blob.exists()
    trashed = store.layout.dropped_blobs / blob.name
    trashed.parent.mkdir(parents=True, exist_ok=True)
    trashed.touch()
    os.utime(trashed, (ahead, ahead))
    with cleaning(store):
        sweep(store)
        assert trashed.stat().st_mtime <= time.time()
        sweep(store, 0.0, 0.0)
    assert not trashed.exists()


@pytest.mark.parametrize("is_full", [False, True])
def test_what_is_pushed_stays_meanwhile(
    is_full: bool,
    store: Store,
    publish: Callable[..., Action],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Except on a full disk, where nothing can be marked, but which a push may relieve."""
    first, second = publish({"a": b"1"}), publish({"b": b"2"}, seed=1)
    upload = Remote.upload

    def cleaning_before(self: Remote, *given: object) -> None:
        clean(store, keep_last=0)
        upload(self, *given)  # type: ignore[arg-type]

    if is_full:
        monkeypatch.setattr(live, "_create", full)
    else:
        monkeypatch.setattr(Remote, "upload", cleaning_before)
    moved = push(store, Remote(str(tmp_path / "remote")), None)
    assert (set(moved.sent), moved.refused) == ({first.key, second.key}, [])
    clean(store, keep_last=0)
    assert store.lookup(first.key) is None


def full(*given: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")
