"""What is written is read back by independent readers: the safetensors library, Jittor's loader."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from unidet.errors import UserError
from unidet.store.disk import whole_file
from unidet.weights.read import read_checkpoint
from unidet.weights.write import write_safetensors, write_torch


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    base = np.arange(6).reshape(2, 3)
    made = {kind: base.astype(kind) for kind in ("float32", "float16", "float64", "int64", "int8")}
    made["bool"] = base > 2
    made["strided"] = base.astype(np.float32)[:, ::2]
    made["scalar"] = np.array(3, np.int32)
    made["empty"] = np.zeros((3, 0), np.float32)
    made["naïve.名"] = np.ones(1, np.uint8)
    return made


def test_torch_format_read_by_another_reader(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    from jittor_utils.load_pytorch import load_pytorch

    path = tmp_path / "x.pth"
    # Jittor's reader knows these types only, and no empty tensors.
    plain = {name: arrays[name] for name in ("float32", "float16", "int64", "strided")}
    plain["naïve.名"] = np.ones((1, 2), np.float32)
    write_torch(path, plain)
    read = load_pytorch(str(path))
    assert list(read) == list(plain)
    for name, array in plain.items():
        np.testing.assert_array_equal(np.asarray(read[name]), array, err_msg=name)


def test_torch_format_read_by_torch(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write_torch(tmp_path / "x.pth", arrays)
    read = torch.load(tmp_path / "x.pth", weights_only=True)
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name].numpy(), array, err_msg=name, strict=True)


def test_round_trips(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    write_torch(tmp_path / "x.pth", arrays)
    write_safetensors(tmp_path / "x.safetensors", arrays)
    for path in (tmp_path / "x.pth", tmp_path / "x.safetensors"):
        read = read_checkpoint(path)
        assert sorted(read) == sorted(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array, err_msg=name, strict=True)


def test_metadata_and_values_for_the_library(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"w": np.ones((2, 2), np.float32)[:, ::-1]}, {"network": "cln"})
    with safe_open(path, "np") as file:
        assert file.metadata() == {"network": "cln"}
        np.testing.assert_array_equal(file.get_tensor("w"), np.ones((2, 2)))


def test_same_weights_same_bytes(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    metadata = {"b": "2", "a": "1", "c": "3"}
    write_safetensors(tmp_path / "1.safetensors", arrays, metadata)
    backwards = dict(reversed(list(arrays.items())))
    write_safetensors(tmp_path / "2.safetensors", backwards, dict(reversed(list(metadata.items()))))
    assert (tmp_path / "1.safetensors").read_bytes() == (tmp_path / "2.safetensors").read_bytes()
    write_torch(tmp_path / "1.pth", arrays)
    write_torch(tmp_path / "2.pth", arrays)
    assert (tmp_path / "1.pth").read_bytes() == (tmp_path / "2.pth").read_bytes()


def test_no_weights_at_all(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "x.safetensors", {})
    assert read_checkpoint(tmp_path / "x.safetensors") == {}


def test_a_type_that_torch_lacks(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="w has type complex64"):
        write_torch(tmp_path / "x.pth", {"w": np.zeros(1, np.complex64)})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.pth"
    write_torch(path, {"w": np.zeros(1, np.float32)})
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(UserError, match=r"x\.pth: cannot be written \(no space"):
        write_torch(path, {"w": np.ones(1, np.float32)})
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.pth"]


def test_what_is_written_is_on_the_disk_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    replace = Path.replace
    monkeypatch.setattr("os.fsync", lambda descriptor: steps.append("sync"))
    monkeypatch.setattr(
        Path, "replace", lambda path, to: (steps.append("rename"), replace(path, to))[1]
    )
    with whole_file(tmp_path / "x") as partial:
        partial.write_bytes(b"weights")
    assert steps == ["sync", "rename", "sync"]
