"""NCCL is found in its wheel, then in the system; our start of it compiles where it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from unidet.backend import nccl, toolkits


def place(folder: Path) -> nccl.Nccl:
    found = nccl.Nccl(folder / "include", folder / "lib" / "libnccl.so.2")
    for file in (found.headers / "nccl.h", found.library):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return found


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheels, system = tmp_path / "nvidia", tmp_path / "system"
    wheels.mkdir()
    spec = SimpleNamespace(submodule_search_locations=[str(wheels)])
    monkeypatch.setattr(toolkits.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(nccl, "SYSTEM_FOLDERS", (system / "include", system / "lib"))
    assert nccl.find_nccl() is None
    of_system = place(system)
    assert nccl.find_nccl() == of_system
    (wheels / "nccl" / "include").mkdir(parents=True)
    (wheels / "nccl" / "include" / "nccl.h").touch()  # half of it
    assert nccl.find_nccl() == of_system
    assert place(wheels / "nccl") == nccl.find_nccl()
    monkeypatch.setattr(toolkits.importlib.util, "find_spec", lambda name: None)
    assert nccl.find_nccl() == of_system
