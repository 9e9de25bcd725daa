"""Compiling C++ of our own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from unidet.backend import library


def test_processes_that_compile_at_once_share_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would remove the other's source before its compiler has read it."""
    used: list[set[str]] = []

    def compiler(command: list[str], **_: object) -> SimpleNamespace:
        used.append({word for word in command if word.startswith(str(tmp_path))})
        Path(command[-1]).write_text("library")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(library, "run_tool", compiler)
    target = tmp_path / "some.so"
    for process in (11, 12):
        monkeypatch.setattr(library.os, "getpid", lambda process=process: process)
        library._compile("", [], target, [])
    assert [len(files) for files in used] == [2, 2]
    assert used[0].isdisjoint(used[1])
    assert [*tmp_path.iterdir()] == [target]


def test_what_is_compiled_is_kept(tmp_path: Path) -> None:
    """Compiled anew for another source or other flags, and only then."""

    def made(source: str, *flags: str) -> Path:
        return library.compiled(source, ["g++", "-shared", *flags], tmp_path / "new", "some")

    one = made("int one = 1;")
    written = one.stat().st_mtime_ns
    assert made("int one = 1;") == one
    assert one.stat().st_mtime_ns == written
    assert len({one, made("int two = 2;"), made("int one = 1;", "-O1")}) == 3
    with pytest.raises(RuntimeError, match="the compiler refuses some-"):
        made("int three = ;")
    assert len([*one.parent.iterdir()]) == 3
