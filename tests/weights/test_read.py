"""Checkpoints recorded with PyTorch (record_checkpoints.py), read without it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from unidet.errors import UserError
from unidet.weights.read import read_checkpoint
from unidet.weights.write import write_pickle

FOLDER = Path(__file__).parent / "checkpoints"


@pytest.fixture(scope="module")
def expected() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "expected.npz") as file:
        return {name: file[name] for name in file.files}


def assert_same(arrays: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(arrays) == list(expected)
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype, name
        assert arrays[name].flags.c_contiguous, name
        np.testing.assert_array_equal(arrays[name], array, err_msg=name, strict=True)


@pytest.mark.parametrize("name", ["plain.pth", "legacy.pth", "training.pth", "expected.npz"])
def test_every_type_and_every_kind_of_view(name: str, expected: dict[str, np.ndarray]) -> None:
    assert_same(read_checkpoint(FOLDER / name), expected)


def test_worked_by_hand(expected: dict[str, np.ndarray]) -> None:
    arrays = read_checkpoint(FOLDER / "plain.pth")
    np.testing.assert_array_equal(arrays["strided"], [[1, 2], [7, 8]])
    np.testing.assert_array_equal(arrays["transposed"][1], [1, 4, 7, 10])
    np.testing.assert_array_equal(arrays["bfloat16"][0], [-5, -4, -3])
    assert arrays["empty"].shape == (0, 4)
    assert arrays["scalar"].shape == ()


def test_torchscript() -> None:
    arrays = read_checkpoint(FOLDER / "scripted.pt")
    assert sorted(arrays) == ["conv.bias", "conv.weight", "steps"]
    np.testing.assert_array_equal(arrays["conv.weight"].ravel(), np.arange(18, dtype=np.float32))
    np.testing.assert_array_equal(arrays["conv.bias"], [1, -1])
    assert arrays["steps"] == 7
    assert arrays["steps"].dtype == np.int64


def test_safetensors(tmp_path: Path) -> None:
    arrays: dict[str, np.ndarray] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.zeros((0, 4), np.float16),
    }
    save_file(arrays, tmp_path / "x.bin")
    assert_same(read_checkpoint(tmp_path / "x.bin"), arrays)


def test_settings_and_callbacks_beside_the_weights() -> None:
    assert_same(read_checkpoint(FOLDER / "detr.pth"), {"a": np.ones(2, np.float32)})
    assert set(read_checkpoint(FOLDER / "nanodet.ckpt")) == {"model.a", "model.b", "avg_model.a"}


@pytest.mark.parametrize("name", ["hostile.pth", "hostile_legacy.pth", "hostile.pkl"])
def test_a_pickle_that_calls_something_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"{name}.*refused.*posix\.system"):
        read_checkpoint(FOLDER / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["builtins eval", "torch._utils _rebuild_wrapper_subclass"])
def test_any_name_not_on_the_list_is_refused(target: str, tmp_path: Path) -> None:
    module, name = target.split()
    pickled = b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"."
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    with pytest.raises(UserError, match=f"{module}.{name}"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("name", ["plain.pth", "legacy.pth", "scripted.pt", "expected.npz"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated(name: str, share: float, tmp_path: Path) -> None:
    whole = (FOLDER / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=rf"{name}.*truncated"):
        read_checkpoint(path)


def test_truncated_safetensors(tmp_path: Path) -> None:
    save_file({"a": np.ones(100, np.float32)}, tmp_path / "whole.safetensors")
    path = tmp_path / "half.safetensors"
    path.write_bytes((tmp_path / "whole.safetensors").read_bytes()[:200])
    with pytest.raises(UserError, match=r"half\.safetensors is truncated"):
        read_checkpoint(path)


def test_a_view_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    source = (FOLDER / "plain.pth").read_bytes()
    path = tmp_path / "x.pth"
    with (
        zipfile.ZipFile(io.BytesIO(source)) as whole,
        zipfile.ZipFile(path, "w") as cut,
    ):
        for name in whole.namelist():
            data = whole.read(name)
            cut.writestr(name, data[:8] if name.endswith("data/0") else data)
    with pytest.raises(UserError, match=r"float32 needs element 11 of a storage of 2"):
        read_checkpoint(path)


def test_not_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.pth")
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(UserError, match="neither a PyTorch checkpoint, nor safetensors, nor npz"):
        read_checkpoint(tmp_path / "text.pth")
    (tmp_path / "empty.pth").write_bytes(b"")
    with pytest.raises(UserError, match="neither"):
        read_checkpoint(tmp_path / "empty.pth")
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(OrderedDict(a=1), protocol=2))
    with pytest.raises(UserError, match="there are no tensors inside"):
        read_checkpoint(tmp_path / "other.pkl")
    (tmp_path / "number.pkl").write_bytes(pickle.dumps(7, protocol=2))
    with pytest.raises(UserError, match="not one of weights"):
        read_checkpoint(tmp_path / "number.pkl")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match="neither a PyTorch checkpoint nor numpy arrays"):
        read_checkpoint(tmp_path / "some.zip")


def test_an_npz_with_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="pickle"):
        read_checkpoint(tmp_path / "x.npz")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.pth"
    path.touch()
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match=r"x\.pth: cannot be read \(Permission denied\)"):
        read_checkpoint(path)


def test_rtdetr_evaluates_with_its_moving_average(tmp_path: Path) -> None:
    """`{"model": …, "ema": {"module": …}}`, as its trainer saves; released files lack `model`."""
    ema = {"ema": {"module": {"head.bias": np.array([2.0], np.float32)}, "updates": 5}}
    for contents in (ema, {"model": {"head.bias": np.zeros(1, np.float32)}} | ema):
        write_pickle(tmp_path / "checkpoint.pkl", contents)
        arrays = read_checkpoint(tmp_path / "checkpoint.pkl")
        assert {name: value.tolist() for name, value in arrays.items()} == {"head.bias": [2.0]}
