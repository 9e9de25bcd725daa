"""The digest of the program, to which `unidet detect` binds what it has done."""

from __future__ import annotations

from pathlib import Path

import pytest

from unidet.pipelines.engine import keys


def test_an_edit_of_any_file_is_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(keys, "find_spec", lambda name: spec if name == "unidet.conf" else None)
    page = tmp_path / "roi" / "page.yaml"
    page.parent.mkdir()
    page.write_text("a: 1")
    before = keys.program_digest()
    (tmp_path / "compiled.pyc").touch()
    assert keys.program_digest() == before
    page.write_text("a: 2")
    assert keys.program_digest() != before


def test_it_takes_in_code_values_and_pipelines(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    monkeypatch.setattr(keys, "digest", lambda files: read.update(files) or "")
    keys.program_digest()
    assert {
        "unidet/models/resnet.py",
        "unidet.pipelines/detector/two_stage.py",
        "unidet.conf/config.yaml",
    } <= read
