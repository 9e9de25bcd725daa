"""What is remembered of a folder of detections."""

from __future__ import annotations

import errno
import os
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from disks import no_room

from unidet.errors import UserError
from unidet.pictures.journal import JOURNAL, Journal, Written, stat_of
from unidet.pictures.outputs import Outputs

SETTINGS = {"threshold": 0.3, "names": ("cat", "dog")}


@pytest.fixture
def picture(tmp_path: Path) -> str:
    path = tmp_path / "x.jpg"
    path.write_bytes(b"pixels")
    return str(path)


def remember(folder: Path, picture: str) -> None:
    with Journal(folder) as journal:
        journal.begin(SETTINGS)
        journal.will_write("x.jpg")
        (folder / "x.jpg").touch()
        record = {"stat": stat_of(picture), "files": ["x.jpg"], "boxes": [[1, 2, 3, 4]]}
        journal.add(picture, record)


def test_what_is_done_is_known_to_the_next_run(tmp_path: Path, picture: str) -> None:
    remember(tmp_path / "out", picture)
    with Journal(tmp_path / "out") as journal:
        journal.begin(SETTINGS)
        record = journal.done(picture)
        assert record is not None
        assert record["boxes"] == [[1, 2, 3, 4]]
        assert journal.done("other.jpg") is None
        assert journal.owns("x.jpg")
        assert not journal.owns("other.jpg")


def test_its_new_folders_are_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a power cut may take the whole output of a run that has ended well."""
    synced: list[Path] = []
    monkeypatch.setattr("unidet.store.disk.sync", synced.append)
    out = tmp_path / "new/out"
    with Journal(out) as journal:
        journal.begin(SETTINGS)
        with Outputs(out, journal, "yolo", drawings=False, crops=True) as outputs:
            outputs.replace("crops/x/01_cat.jpg")
    folders = [path.relative_to(tmp_path).as_posix() for path in synced]
    assert folders == [".", "new", "new/out", "new/out/crops"]


def test_an_image_is_one_however_it_is_spelt(
    tmp_path: Path, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(tmp_path / "out", picture)
    monkeypatch.chdir(tmp_path)
    with Journal(Path("out")) as journal:
        journal.begin(SETTINGS)
        for spelling in ("x.jpg", "./x.jpg", "out/../x.jpg"):
            assert journal.done(spelling) is not None
        record = {"stat": stat_of(picture), "files": ["y.jpg"]}
        assert journal.add("./x.jpg", record) == ["x.jpg"]
    monkeypatch.chdir("/")
    with Journal(tmp_path / "out") as journal:
        assert journal.record(picture) == {"picture": "../x.jpg", **record}


def test_what_has_changed_is_not_done(tmp_path: Path, picture: str) -> None:
    out = tmp_path / "out"
    remember(out, picture)
    os.utime(picture, ns=(0, 1))
    with Journal(out) as journal:
        journal.begin(SETTINGS)
        assert journal.done(picture) is None
    remember(out, picture)
    state = os.stat(picture)
    Path(picture).write_bytes(b"others")
    os.utime(picture, ns=(state.st_atime_ns, state.st_mtime_ns))
    with Journal(out) as journal:
        journal.begin(SETTINGS)
        assert journal.done(picture) is None
    remember(out, picture)
    (out / "x.jpg").unlink()
    with Journal(out) as journal:
        journal.begin(SETTINGS)
        assert journal.done(picture) is None
    remember(out, picture)
    os.unlink(picture)
    with Journal(out) as journal:
        journal.begin(SETTINGS)
        assert journal.done(picture) is None


def test_other_settings_begin_anew_but_files_stay_known(tmp_path: Path, picture: str) -> None:
    remember(tmp_path / "out", picture)
    with Journal(tmp_path / "out") as journal:
        journal.begin({**SETTINGS, "threshold": 0.4})
        assert journal.done(picture) is None
        assert journal.owns("x.jpg")
    with Journal(tmp_path / "out") as journal:
        journal.begin(SETTINGS)
        assert journal.done(picture) is None


def test_a_torn_line_is_cut_off(tmp_path: Path, picture: str) -> None:
    remember(tmp_path / "out", picture)
    path = tmp_path / "out" / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:-5])
    with Journal(tmp_path / "out") as journal:
        journal.begin(SETTINGS)
        assert path.read_bytes() == whole
        assert journal.done(picture) is not None
        journal.add("z.jpg", {"files": []})
        record = journal.record("z.jpg")
        assert record is not None
        assert record["files"] == []
    assert path.read_bytes().startswith(whole)


def test_no_flipped_bit_passes(tmp_path: Path, picture: str) -> None:
    """But for the last line's end, without which that line is torn, and done again."""
    out = tmp_path / "out"
    remember(out, picture)
    whole = (out / JOURNAL).read_bytes()
    for place in range(len(whole) - 1):
        harmed = bytearray(whole)
        harmed[place] ^= 1 << place % 8
        (out / JOURNAL).write_bytes(harmed)
        with pytest.raises(UserError, match="is damaged, or of another version; remove it"):
            Journal(out)


@pytest.mark.parametrize("line", ["no JSON", "[]", "", '{"picture": "x.jpg"}', "[" * 100_000])
def test_what_no_run_has_written_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_text(f"{line}\n")
    with pytest.raises(UserError, match="is damaged, or of another version; remove it"):
        Journal(tmp_path)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    for make in (path.mkdir, partial(os.mkfifo, path), partial(path.symlink_to, tmp_path / "new")):
        make()
        with pytest.raises(UserError, match="is no plain file; remove it"):
            Journal(tmp_path)
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_line_that_finds_no_room_leaves_nothing_of_itself(tmp_path: Path, picture: str) -> None:
    remember(tmp_path / "out", picture)
    whole = (tmp_path / "out" / JOURNAL).read_bytes()
    with Journal(tmp_path / "out") as journal:
        journal.begin(SETTINGS)
        with no_room(len(whole) + 20), pytest.raises(UserError, match="cannot be written"):
            journal.add("z.jpg", {"files": []})
    assert (tmp_path / "out" / JOURNAL).read_bytes() == whole


def test_a_disk_that_keeps_nothing_is_told_with_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fdatasync", fail)
    with Journal(tmp_path) as journal:
        journal.begin({})
        with pytest.raises(UserError, match=f"{JOURNAL}: cannot be written"):
            journal.will_write("x.jpg")


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with Journal(tmp_path) as first, Journal(tmp_path) as second:
        first.begin(SETTINGS)
        for start in (lambda: Journal(tmp_path), lambda: second.begin(SETTINGS)):
            with pytest.raises(UserError, match="another unidet detect writes there"):
                start()
    with Journal(tmp_path) as third:
        third.begin(SETTINGS)


def test_a_look_leaves_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "new") as journal:
        assert not journal.owns("x.jpg")
    assert list(tmp_path.iterdir()) == []


def sealed(text: str) -> bytes:
    """A line with a right checksum, as anybody can write it."""
    return sha256(text.encode()).hexdigest()[:16].encode() + f" {text}\n".encode()


@pytest.mark.parametrize(
    "line",
    [
        '{"picture": "../x.jpg", "files": ["../mine.txt"]}',
        '{"picture": "../x.jpg", "files": ["/tmp/mine.txt"]}',
        '{"picture": "../x.jpg", "files": ["a/../../mine.txt"]}',
        '{"picture": "../x.jpg", "files": [3]}',
        '{"picture": "../x.jpg", "files": ["x\\u0000"]}',
        '{"picture": "../x.jpg", "files": ["\\ud800"]}',
        '{"picture": "../x.jpg"}',
        '{"picture": [1], "files": []}',
        '{"file": "../mine.txt"}',
        '{"file": ["x.jpg"]}',
        '{"settings": ' + "[" * 99 + "]" * 99 + "}",
        "[" * 100_000,
        "[1]",
        "null",
    ],
)
def test_a_line_that_no_run_has_written_is_refused(tmp_path: Path, picture: str, line: str) -> None:
    """Files of earlier runs are removed, so a journal from elsewhere could name those of others."""
    remember(tmp_path / "out", picture)
    file = tmp_path / "out" / JOURNAL
    file.write_bytes(file.read_bytes() + sealed(line))
    with pytest.raises(UserError, match="is damaged, or of another version; remove it"):
        Journal(tmp_path / "out")
    assert Written().has(str(tmp_path / "out" / "x.jpg"))
    assert not Written().has(str(tmp_path / "mine.txt"))
