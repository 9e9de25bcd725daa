"""Compiling our functions on oneDNN."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from unidet.ops import onednn


def test_processes_that_compile_at_once_share_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would remove the other's source before its compiler has read it."""
    used: list[set[str]] = []

    def compiler(command: list[str], **_: object) -> SimpleNamespace:
        used.append({word for word in command if word.startswith(str(tmp_path))})
        Path(command[-1]).write_text("library")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(onednn.subprocess, "run", compiler)
    for process in (11, 12):
        monkeypatch.setattr(onednn.os, "getpid", lambda process=process: process)
        onednn._compile([], tmp_path / "onednn.so")
    assert [len(files) for files in used] == [2, 2]
    assert used[0].isdisjoint(used[1])
    assert [path.name for path in tmp_path.iterdir()] == ["onednn.so"]
