"""Folders for people: whole, or marked as what they are."""

from __future__ import annotations

import errno
import fcntl
from collections.abc import Collection
from pathlib import Path

import pytest

from unidet.errors import UserError
from unidet.formats.labels.recognize import UNFINISHED, recognize
from unidet.pipelines.wiring import whole_folder
from unidet.pipelines.wiring.whole_folder import check_empty, new_folder


def half(folder: Path, *names: str) -> Path:
    """What a killed process leaves."""
    (folder / "Annotations").mkdir(parents=True)
    (folder / "Annotations/a.xml").write_text("<annotation>")
    for name in (UNFINISHED, *names):
        (folder / name).touch()
    return folder


def write(folder: Path, fault: BaseException | None = None, names: Collection[str] = ()) -> None:
    with new_folder(folder, names):
        assert [entry.name for entry in folder.iterdir()] == [UNFINISHED]
        (folder / "new").touch()
        with pytest.raises(UserError, match="another process writes it"), new_folder(folder):
            pass
        if fault is not None:
            raise fault


def test_what_a_killed_process_has_left_is_not_read_and_is_written_anew(tmp_path: Path) -> None:
    folder = half(tmp_path / "out")
    for place in (folder, folder / "Annotations"):
        with pytest.raises(UserError, match="out: is not finished"):
            recognize(place)
    check_empty(folder)
    write(folder)
    assert [entry.name for entry in folder.iterdir()] == ["new"]


def test_what_fails_leaves_an_empty_folder_or_none(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "new"):
        with pytest.raises(UserError, match=f"{name}: cannot be written \\(full\\)"):
            write(tmp_path / name, OSError(errno.ENOSPC, "full"))
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / name, KeyboardInterrupt())
    assert [*tmp_path.rglob("*")] == [tmp_path / "there"]


def test_a_fault_at_the_first_step_takes_the_mark_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(whole_folder, "sync", broken)
    with pytest.raises(UserError, match="out: cannot be written \\(broken\\)"):
        write(tmp_path / "out")
    assert [*tmp_path.iterdir()] == []


def test_all_is_on_the_disk_before_the_mark_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut may leave empty files of labels, which say that there are no objects."""
    out, steps = tmp_path / "x/out", []

    def note(path: Path) -> None:
        marked = (out / UNFINISHED).exists()
        steps.append((path.relative_to(tmp_path).as_posix(), "marked" if marked else "finished"))

    monkeypatch.setattr("unidet.store.disk.sync", note)  # of new folders
    monkeypatch.setattr(whole_folder, "sync", note)
    with new_folder(out):
        (out / "labels").mkdir()
        (out / "labels/a.txt").touch()
        (out / "images").symlink_to(tmp_path, target_is_directory=True)
        (out / "link").symlink_to(tmp_path / "nowhere")
    assert steps[:2] == [(".", "finished"), ("x", "finished")]
    assert ("x/out/labels/a.txt", "marked") in steps
    assert ("x/out/labels", "marked") in steps
    assert steps[-1] == ("x/out", "finished")
    assert not any("images" in path or "link" in path for path, _ in steps)


@pytest.mark.parametrize("step", range(2, 7))
def test_a_disk_that_fails_at_the_end_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    left = step

    def failing(path: Path) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(whole_folder, "sync", failing)
    with (
        pytest.raises(UserError, match=r"out: cannot be written \(broken\)"),
        new_folder(tmp_path / "out"),
    ):
        half(tmp_path / "out")
    assert [*tmp_path.iterdir()] == []


def test_nothing_of_the_users_is_removed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.png").touch()
    other = half(tmp_path / "other", "photo.png")
    for folder, names in ((tmp_path / "mine", ()), (other, ("Annotations",))):
        with pytest.raises(UserError, match="is not empty; name a new folder"):
            check_empty(folder, names)
        with pytest.raises(UserError, match="is not empty; name a new folder"):
            write(folder, names=names)
        assert (folder / "photo.png").exists()
    assert not (tmp_path / "mine" / UNFINISHED).exists()
    assert (other / "Annotations/a.xml").exists()


def test_a_folder_that_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    folder = half(tmp_path / "out")
    with (folder / UNFINISHED).open() as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process writes it"):
            write(folder)
    assert (folder / "Annotations/a.xml").exists()
