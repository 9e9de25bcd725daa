"""Listing a folder that others change; files that are whole or not there."""

from __future__ import annotations

import errno
import inspect
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.store.disk import (
    check_folder,
    check_target,
    clear_errors,
    make_folder,
    sync,
    whole_file,
)
from unidet.store.walking import files_below


def test_files_and_links_below(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert sorted(files_below(tmp_path)) == [tmp_path / "a/b/file", tmp_path / "link"]


def test_a_folder_that_goes_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "lost").touch()
    (tmp_path / "first").touch()
    found = files_below(tmp_path)
    assert next(found) == tmp_path / "first"
    shutil.rmtree(tmp_path / "gone")
    assert list(found) == []


def test_a_folder_deeper_than_pythons_stack(tmp_path: Path) -> None:
    deep, limit = tmp_path.joinpath(*["p"] * 150), sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 80)
    try:
        make_folder(deep)
        make_folder(deep)
    finally:
        sys.setrecursionlimit(limit)
    assert deep.is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "file" / "x")


# --- whole files ------------------------------------------------------------------------------


def test_a_file_is_there_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "picture.png"
    with whole_file(target) as partial:
        assert (partial.parent, partial.suffix) == (tmp_path, ".png")
        partial.write_text("new")
        assert not target.exists()
    assert [*tmp_path.iterdir()] == [target]
    assert target.read_text() == "new"


def test_a_name_may_take_all_the_letters_that_there_are(tmp_path: Path) -> None:
    target = tmp_path / f"{'n' * 251}.txt"
    with whole_file(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "new"


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "metrics.json"
    target.write_text("old")

    def half(fault: BaseException) -> None:
        with whole_file(target) as partial:
            partial.write_text("ne")
            raise fault

    with pytest.raises(UserError, match=r"metrics\.json: cannot be written \(full\)"):
        half(OSError(errno.ENOSPC, "full"))
    with pytest.raises(KeyboardInterrupt):
        half(KeyboardInterrupt())
    assert [*tmp_path.iterdir()] == [target]
    assert target.read_text() == "old"


def test_a_step_that_fails_before_the_move_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No descriptor is left for the folder: its sync would come too late."""
    target = tmp_path / "metrics.json"
    target.write_text("old")
    opened = os.open

    def full(path: Path, *args: Any, **named: Any) -> int:
        if path == tmp_path:
            raise OSError(errno.EMFILE, "Too many open files", str(path))
        return opened(path, *args, **named)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(UserError, match="cannot be written"), whole_file(target) as partial:
        partial.write_text("new")
    assert target.read_text() == "old"


def test_a_name_that_the_disk_does_not_confirm_is_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = os.fsync

    def broken(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EIO, "Input/output error")
        synced(descriptor)

    monkeypatch.setattr(os, "fsync", broken)
    with (
        pytest.raises(UserError, match="is written, but the disk may lose it again"),
        whole_file(tmp_path / "new") as partial,
    ):
        partial.write_text("new")
    assert [file.name for file in tmp_path.iterdir()] == ["new"]


def test_a_share_that_cannot_sync_folders_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(descriptor: int) -> None:
        if of_folders == os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refusing)
    of_folders = True
    with whole_file(tmp_path / "new") as partial:
        partial.write_text("new")
    sync(tmp_path)
    of_folders = False
    with pytest.raises(OSError, match="Invalid argument"):
        sync(tmp_path / "new")


def test_a_link_stays_a_link_and_a_pipe_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with whole_file(tmp_path / "link") as partial:
        partial.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(tmp_path / "pipe") as partial:
        partial.write_text("new")
    assert os.read(reader, 9) == b"new"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_in_place_of_a_folder_is_named_itself(tmp_path: Path) -> None:
    (tmp_path / "actions").touch()
    with (
        pytest.raises(UserError, match=r"belongs; move it elsewhere \(.*/actions\)$"),
        clear_errors(tmp_path),
    ):
        (tmp_path / "actions" / "ab" / "record.json").read_bytes()


def test_a_place_is_looked_at_before_long_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_target(tmp_path / "file")
    check_folder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    for place in (tmp_path, tmp_path / "no" / "x", tmp_path / "file" / "x"):
        with pytest.raises(UserError):
            check_target(place)
    for place in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(UserError, match="file is not a folder"):
            check_folder(place)
    with pytest.raises(UserError, match=r"must end in \.png, \.pdf"):
        check_target(tmp_path / "x.bmp", (".png", ".pdf"))


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_place_that_is_closed_to_this_user(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for check in (check_target, check_folder):
        with pytest.raises(UserError, match=r"no permission to .*write"):
            check(closed / "x")
