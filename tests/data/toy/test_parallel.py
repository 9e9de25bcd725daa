"""Work that several processes share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unidet.data.toy.parallel import map_chunks


@pytest.mark.skipif(sys.version_info < (3, 11), reason="cannot be told to leave the folder out")
def test_files_of_the_folder_that_are_called_as_modules_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("threading", "random", "pickle"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit")
    monkeypatch.chdir(tmp_path)
    assert list(map_chunks(list, 60, 2, None)) == [*range(60)]
