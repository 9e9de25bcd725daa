"""Folders nested more deeply than Python calls itself, or than the system allows a path to be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.store.disk import remove
from unidet.store.gc import drop_unfinished, sweep
from unidet.store.record import Action
from unidet.store.store import Store
from unidet.store.verify import verify
from unidet.store.walking import PATH_BYTES, files_below

Publish = Callable[..., Action]

SHAPES = {"more levels than calls": ("d", 1500), "a path too long": ("d" * 200, 40)}


def nest(folder: Path, name: str, levels: int) -> None:
    """So many folders, each in the one before, and a file in the last."""
    folder.mkdir(parents=True)
    here = os.getcwd()
    try:
        os.chdir(folder)
        for _ in range(levels):
            os.mkdir(name)
            os.chdir(name)
        Path("file").touch()
    finally:
        os.chdir(here)


@pytest.mark.parametrize("shape", SHAPES)
def test_verify_names_them_and_a_clean_up_removes_them(
    store: Store, publish: Publish, shape: str
) -> None:
    publish({"model": b"weights"})
    base = store.layout.base
    nest(base / "trash" / "nested", *SHAPES[shape])
    nest(base / "work" / ("a" * 64), *SHAPES[shape])
    nest(base / "blobs" / "sha256" / "zz", *SHAPES[shape])
    found = [(one.kind, one.path) for one in verify(store).problems]
    remove(base / "blobs" / "sha256" / "zz")  # before an assertion fails: pytest cannot do it
    removed = drop_unfinished(store, 0.0)
    sweep(store, 0.0, 0.0)
    assert found == [("unexpected", "blobs/sha256/zz")]
    assert removed == 1
    assert os.listdir(base / "trash") == os.listdir(base / "work") == []
    assert os.listdir(base / "blobs" / "sha256") != []
    assert not verify(store).problems


def test_files_as_deep_as_those_of_artefacts_are_found(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["d" * 99] * 10, "f" * (PATH_BYTES - 1000))
    deepest.parent.mkdir(parents=True)
    deepest.touch()
    assert list(files_below(tmp_path)) == [deepest]
