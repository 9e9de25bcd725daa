"""Names of classes that a network's file carries."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.class_names import read_class_names
from unidet.weights.read import read_entries
from unidet.weights.write import metadata_of, write_safetensors, write_torch

NAMES = ("cat", "stop sign", "\u00e9toile")


def torch_zip(path: Path, contents: Any) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(contents, 2))
    return path


def torch_legacy(path: Path, contents: Any) -> Path:
    """As `torch.save` wrote before 1.6: the mark, a version, the machine, the contents, keys."""
    file = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, contents, []):
        pickle.dump(part, file, 2)
    path.write_bytes(file.getvalue())
    return path


@pytest.mark.parametrize("names", [NAMES, (None, "cat", None, "dog")])
def test_ours_are_in_the_metadata(names: tuple[str | None, ...], tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    write_safetensors(file, {"a": np.zeros(2)}, {"layout": "x", **metadata_of(names)})
    assert read_class_names(file) == names


@pytest.mark.parametrize("write", [torch_zip, torch_legacy])
@pytest.mark.parametrize(
    "contents",
    [
        {"meta": {"CLASSES": NAMES, "epoch": 12}, "state_dict": {}},
        {"meta": {"dataset_meta": {"classes": list(NAMES)}}, "state_dict": {}},
        {"names": dict(enumerate(NAMES)), "model": {}},
        {"class_names": list(NAMES)},
    ],
    ids=["mmdet 2", "mmdet 3", "names by number", "class_names"],
)
def test_those_of_other_trainers(write: Any, contents: Any, tmp_path: Path) -> None:
    assert read_class_names(write(tmp_path / "x.pth", contents)) == NAMES


@pytest.mark.parametrize(
    "contents",
    [
        {"meta": "of 2019", "names": {1: "cat", 2: "dog"}},
        {"names": {"cat": 0}, "class_names": ["cat", 3]},
        {"names": "cat, dog", "meta": {"CLASSES": None}},
        ["cat", "dog"],
    ],
)
def test_what_is_no_list_of_names_is_none(contents: Any, tmp_path: Path) -> None:
    assert read_class_names(torch_zip(tmp_path / "x.pth", contents)) == ()


def test_files_without_names(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"a": np.zeros(2)})
    write_torch(tmp_path / "a.pth", {"names": np.zeros(2, np.float32)})
    (tmp_path / "a.param").write_text("7767517\n")
    np.savez(tmp_path / "a.npz", names=np.zeros(2))
    for suffix in ("safetensors", "pth", "param", "npz"):
        assert read_class_names(tmp_path / f"a.{suffix}") == ()
    assert read_entries(tmp_path / "a.npz") is None


@pytest.mark.parametrize("written", ["cat, dog", '{"cat": 0}', '["cat", 5]', "[" * 100_000])
def test_metadata_that_are_no_names_are_told(written: str, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", {"a": np.zeros(2)}, {"classes": written})
    with pytest.raises(UserError, match=r"x\.safetensors: its metadata 'classes' are no list of"):
        read_class_names(tmp_path / "x.safetensors")


def test_an_object_in_place_of_names_is_not_called(tmp_path: Path) -> None:
    file = torch_zip(tmp_path / "x.pth", {"meta": {"CLASSES": Folder(tmp_path / "called")}})
    assert read_class_names(file) == ()
    assert not (tmp_path / "called").exists()


class Folder:
    """Makes a folder where its pickle is loaded as it says."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)
