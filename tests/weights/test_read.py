"""Checkpoints recorded with PyTorch (record_checkpoints.py), read without it."""

from __future__ import annotations

import io
import json
import pickle
import re
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from unidet.errors import UserError
from unidet.weights.prefixes import under
from unidet.weights.read import read_checkpoint, read_entries
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
    options = read_entries(FOLDER / "detr.pth")["args"].options
    assert options == {"lr": 1e-4, "device": "cuda", "extra": [1, 2]}
    assert set(read_checkpoint(FOLDER / "nanodet.ckpt")) == {"model.a", "model.b", "avg_model.a"}


LAYER = {"weight": np.array([[1, 2]], np.float32), "bias": np.array([3], np.float32)}


@pytest.mark.parametrize(("name", "prefix"), [("mmengine.pth", ""), ("lightning.ckpt", "model.")])
def test_checkpoints_while_training(name: str, prefix: str) -> None:
    """HistoryBuffers, callbacks, optimizers, hyper-parameters with sets and paths: passed over."""
    assert_same(read_checkpoint(FOLDER / name), under(prefix, LAYER))


def test_weights_inside_weights(tmp_path: Path) -> None:
    write_pickle(tmp_path / "x.pkl", {"epoch": 1, "model": {"state_dict": LAYER, "lr": 0.1}})
    assert_same(read_checkpoint(tmp_path / "x.pkl"), LAYER)


class Foreign:
    """Of a class that nobody but its writer knows."""

    def __init__(self) -> None:
        self.value = {"self": self}


def test_a_foreign_object_is_passed_over_beside_the_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    foreign: list[object] = [Foreign(), Foreign, {Foreign: 1, Foreign(): Path("a")}]
    path.write_bytes(pickle.dumps({"state_dict": LAYER, "callbacks": foreign}, 2))
    assert_same(read_checkpoint(path), LAYER)
    for value in (Foreign(), Foreign):
        path.write_bytes(pickle.dumps({"state_dict": LAYER | {"c": value}}, 2))
        with pytest.raises(UserError, match=r"refused: it wants to call \S+\.Foreign"):
            read_checkpoint(path)
    path.write_bytes(pickle.dumps({"model": Foreign(), "epoch": 3}, 2))
    with pytest.raises(UserError, match=r"Foreign, .* save its state_dict\(\) instead"):
        read_checkpoint(path)


def test_a_tensor_with_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch pickles it as `_rebuild_from_type_v2(function, class, its arguments, attributes)`."""
    functions = {}
    for module in ("torch._tensor", "torch._utils", "torch"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    for module, name in (
        ("torch._tensor", "_rebuild_from_type_v2"),
        ("torch._utils", "_rebuild_parameter"),
    ):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = module, name
        setattr(sys.modules[module], name, function)
        functions[name] = function

    class Tagged:
        def __reduce__(self) -> Any:
            inside = functions["_rebuild_parameter"], Foreign, (np.float32([4]), True), {"tag": 1}
            return functions["_rebuild_from_type_v2"], inside

    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": Tagged()}, 2))
    assert_same(read_checkpoint(tmp_path / "x.pkl"), {"a": np.float32([4])})


@pytest.mark.parametrize("suffix", ["", "_legacy"])
@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "qint8", "complex64"])
def test_types_that_are_not_read_are_named(kind: str, suffix: str) -> None:
    with pytest.raises(UserError, match=rf"{suffix}\.pth: b is of type {kind}, .* \.float\(\)"):
        read_checkpoint(FOLDER / f"{kind}{suffix}.pth")


def safetensors_file(path: Path, kind: str, data: bytes, shape: tuple[int, ...]) -> None:
    entry = {"dtype": kind, "shape": shape, "data_offsets": (0, len(data))}
    header = json.dumps({"a.weight": entry, "__metadata__": {"format": "pt"}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_bfloat16_in_safetensors(tmp_path: Path) -> None:
    """0x3f80 is 1, 0xc040 is -3, 0x0001 the smallest of all, 0x7f7f the largest."""
    data = np.array([0x3F80, 0xC040, 0x0001, 0x7F7F, 0x0000, 0x4049], "<u2").tobytes()
    safetensors_file(tmp_path / "x.safetensors", "BF16", data, (2, 3))
    values = [[1, -3, 2.0**-133], [(2 - 2.0**-7) * 2.0**127, 0, 3.140625]]
    arrays = read_checkpoint(tmp_path / "x.safetensors")
    assert_same(arrays, {"a.weight": np.array(values, np.float32)})


def test_a_bfloat16_number(tmp_path: Path) -> None:
    """CLIP's `logit_scale` is an array without an axis."""
    safetensors_file(tmp_path / "x.safetensors", "BF16", b"\x40\xc0", ())
    arrays = read_checkpoint(tmp_path / "x.safetensors")
    assert_same(arrays, {"a.weight": np.array(-3, np.float32)})


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F4", "C64", "NEW"])
def test_types_in_safetensors_that_are_not_read_are_named(kind: str, tmp_path: Path) -> None:
    safetensors_file(tmp_path / "x.safetensors", kind, bytes(8), (1,))
    with pytest.raises(UserError, match=rf"x\.safetensors: a\.weight is of type {kind}, which"):
        read_checkpoint(tmp_path / "x.safetensors")


@pytest.mark.parametrize("header", [b"[]", b'{"a": 1}', b'{"a": {}}', b"[" * 9999, b"\xff"])
def test_a_malformed_header_of_safetensors(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match=r"x\.safetensors is truncated or damaged"):
        read_checkpoint(path)


def test_a_header_longer_than_the_file(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes((2**32).to_bytes(8, "little") + b"{}")
    with pytest.raises(UserError, match="a header of 4294967296 bytes"):
        read_checkpoint(tmp_path / "x.safetensors")


def test_types_in_npz_that_are_not_read_are_named(tmp_path: Path) -> None:
    """numpy writes bfloat16 as two bytes without meaning."""
    np.savez(tmp_path / "x.npz", a=np.zeros(3, "V2"))
    with pytest.raises(UserError, match=r"x\.npz: a is of type \|V2, which is not read"):
        read_checkpoint(tmp_path / "x.npz")


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
    (tmp_path / "odd.pth").write_bytes(b"\xfe\x01 of no kind")
    with pytest.raises(UserError, match="neither a PyTorch checkpoint, nor safetensors, nor npz"):
        read_checkpoint(tmp_path / "odd.pth")
    for content, reason in (
        (b"hello", "text, which begins with 'hello': fetch or write it again"),
        (b"ftrt" + bytes(60), "a TensorRT engine, which holds no weights by name"),
        (b"\x1c\0\0\0TFL3" + bytes(9), "a TensorFlow Lite model"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b'<?xml version="1.0"?><net>', "an XML document, such as OpenVINO's"),
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>Sign in</html>", "a web page"),
    ):
        (tmp_path / "other.pth").write_bytes(content)
        with pytest.raises(UserError, match=rf"other\.pth is {reason}"):
            read_checkpoint(tmp_path / "other.pth")
    (tmp_path / "other.pkl").write_bytes(pickle.dumps(OrderedDict(a=1), protocol=2))
    with pytest.raises(UserError, match="there are no tensors inside, only 'a'; give a file with"):
        read_checkpoint(tmp_path / "other.pkl")
    (tmp_path / "number.pkl").write_bytes(pickle.dumps(7, protocol=2))
    with pytest.raises(UserError, match="not one of weights"):
        read_checkpoint(tmp_path / "number.pkl")
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(UserError, match="neither a PyTorch checkpoint nor numpy arrays"):
        read_checkpoint(tmp_path / "some.zip")


def test_other_programs_files_are_named(tmp_path: Path) -> None:
    """By their suffix where they begin with nothing of their own, and a folder by what is in it."""
    (tmp_path / "x.onnx").write_bytes(b"\x08\x08\x12\x07pytorch" + bytes(9))
    with pytest.raises(UserError, match=r"x\.onnx is an ONNX graph, .*; give the checkpoint that"):
        read_checkpoint(tmp_path / "x.onnx")
    (tmp_path / "zeros.pth").write_bytes(bytes(999))
    with pytest.raises(UserError, match=r"zeros\.pth begins with zeros, as a copy that broke off:"):
        read_checkpoint(tmp_path / "zeros.pth")
    with tarfile.open(tmp_path / "x.pth.tar", "w") as archive:
        archive.add(tmp_path / "zeros.pth", "zeros.pth")
    with pytest.raises(UserError, match=r"x\.pth\.tar is packed \(tar\): unpack it first"):
        read_checkpoint(tmp_path / "x.pth.tar")
    with zipfile.ZipFile(tmp_path / "x.pt2", "w") as archive:
        archive.writestr("x/data/sample_inputs/model.pt", b"")
        archive.writestr("x/models/model.json", b"{}")
    with pytest.raises(UserError, match=r"x\.pt2: a program of torch\.export"):
        read_checkpoint(tmp_path / "x.pt2")


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r": is a folder, must be a file$"):
        read_checkpoint(tmp_path)
    (tmp_path / "config.json").touch()
    (tmp_path / "a.pth").touch()
    with pytest.raises(UserError, match=r": is a folder; give a file in it, such as .*/a\.pth$"):
        read_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").touch()  # as Hugging Face calls it
    with pytest.raises(UserError, match=r"such as .*/model\.safetensors$"):
        read_checkpoint(tmp_path)
    (tmp_path / "data.pkl").touch()
    with pytest.raises(UserError, match=r": is a folder that a checkpoint was unpacked to; give"):
        read_checkpoint(tmp_path)


def test_the_list_of_an_unpacked_checkpoint_is_called_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(FOLDER / "plain.pth") as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        (tmp_path / "data.pkl").write_bytes(archive.read(name))
    with pytest.raises(UserError, match=r"data\.pkl: it was unpacked from a checkpoint, whose"):
        read_checkpoint(tmp_path / "data.pkl")


def test_safetensors_whose_length_begins_like_a_pickle(tmp_path: Path) -> None:
    """A header of 0x80 bytes, under a name that says nothing."""
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(0x80)
    path = tmp_path / "x.bin"
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.float32(2.5).tobytes())
    assert {name: array.tolist() for name, array in read_checkpoint(path).items()} == {"a": [2.5]}


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        ("_rebuild_meta_tensor_no_storage", "tensors without values"),
        ("_rebuild_sparse_tensor", "sparse tensors; save them after .to_dense()"),
    ],
)
def test_tensors_that_are_not_read_are_named(function: str, reason: str, tmp_path: Path) -> None:
    pickled = f"\x80\x02}}X\x01\0\0\0actorch._utils\n{function}\n)Rs.".encode("latin-1")
    (tmp_path / "x.pkl").write_bytes(pickled)
    with pytest.raises(UserError, match=rf"x\.pkl: holds {re.escape(reason)}"):
        read_checkpoint(tmp_path / "x.pkl")


@pytest.mark.parametrize("part", ["00002-of-00003", "index.json"])
def test_a_part_of_a_checkpoint_is_called_so(tmp_path: Path, part: str) -> None:
    path = tmp_path / f"model-{part}.safetensors"
    if part == "index.json":
        path = tmp_path / "model.safetensors.index.json"
    path.write_text("{}")
    with pytest.raises(UserError, match=f"is {part} of a checkpoint in several files: join them"):
        read_checkpoint(path)


def test_an_npz_with_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{}], dtype=object))
    with pytest.raises(UserError, match=r"x.npz:? holds Python objects, which are not read"):
        read_checkpoint(tmp_path / "x.npz")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "x.pth"
    path.touch()
    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(UserError, match=r"x\.pth: cannot be read \(Permission denied\)"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("average", "taken"),
    [
        ({"ema": {"module": {"a.w": 2}, "updates": 5}}, 2),  # RT-DETR
        ({"model_ema": {"a.w": 2}}, 2),  # DeiT
        ({"state_dict_ema": {"module.a.w": 2}}, 2),  # timm
        ({"params_ema": {"a.w": 2}}, 2),  # BasicSR
        ({b"model_ema": {b"a.w": 2}}, 2),
        ({"ema": {"a.w": 2, "b.w": 3}}, 2),
        ({"ema": {"b.w": 2}}, 1),  # of a part only
        ({"ema": {"decay": 0.9}}, 1),
        ({"ema": None}, 1),
        ({"ema_state_dict": {"module.a.w": 2, "steps": 3}}, 1),  # mmengine has exchanged them
    ],
)
def test_the_moving_average_is_taken_where_it_is_whole(
    average: dict[str, Any], taken: int, tmp_path: Path
) -> None:
    def arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: arrays(child) for key, child in value.items()}
        return np.float32([value]) if isinstance(value, int) else value

    write_pickle(tmp_path / "x.pkl", arrays({"model": {"a.w": 1}} | average))
    weights = read_checkpoint(tmp_path / "x.pkl")
    (first, *_) = weights.values()
    assert first.tolist() == [taken]


def test_names_in_bytes_are_names(tmp_path: Path) -> None:
    """As Python 2 and some converters write them."""
    weights = {b"a.w": np.zeros(1, np.float32), b"b.w": np.zeros(2, np.float32)}
    for contents in (weights, {b"state_dict": weights, b"epoch": 3}, {"params": weights}):
        write_pickle(tmp_path / "x.pkl", contents)
        assert [*read_checkpoint(tmp_path / "x.pkl")] == ["a.w", "b.w"]


def test_rtdetr_evaluates_with_its_moving_average(tmp_path: Path) -> None:
    """`{"model": …, "ema": {"module": …}}`, as its trainer saves; released files lack `model`."""
    ema = {"ema": {"module": {"head.bias": np.array([2.0], np.float32)}, "updates": 5}}
    for contents in (ema, {"model": {"head.bias": np.zeros(1, np.float32)}} | ema):
        write_pickle(tmp_path / "checkpoint.pkl", contents)
        arrays = read_checkpoint(tmp_path / "checkpoint.pkl")
        assert {name: value.tolist() for name, value in arrays.items()} == {"head.bias": [2.0]}
