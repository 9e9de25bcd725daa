"""Listing a folder that others change."""

from __future__ import annotations

import shutil
from pathlib import Path

from unidet.store.disk import files_below


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
