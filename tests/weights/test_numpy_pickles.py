"""Arrays in pickles: numpy's own writer makes them, the restricted reader must find the same."""

from __future__ import annotations

import collections
import datetime
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.weights.read import read_checkpoint, read_pickle
from unidet.weights.write import write_jittor, write_pickle


def contents() -> list[Any]:
    base = np.arange(6, dtype=np.float32).reshape(2, 3)
    return [
        base,
        np.asfortranarray(base),
        base[:, ::2],
        base.astype(">f8"),
        np.zeros((0, 5), np.float32),
        np.array([True, False]),
        np.array(7),
        np.float32(1.5),
        {"name": "naïve 名", "nested": [(np.int64(3), None, 2.5)], np.int64(7): np.float32(1)},
    ]


def assert_same(actual: Any, expected: Any) -> None:
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray):
        native = expected.astype(expected.dtype.newbyteorder("="))
        np.testing.assert_array_equal(actual, native, strict=True)
        assert actual.flags.c_contiguous
    elif isinstance(expected, dict):
        assert list(actual) == list(expected)
        for key in expected:
            assert_same(actual[key], expected[key])
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected)
        for item, other in zip(actual, expected, strict=True):
            assert_same(item, other)
    else:
        assert actual == expected


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(contents(), protocol))
    assert_same(read_pickle(path), contents())


def test_names_of_numpy_2(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    pickled = pickle.dumps(np.arange(3), 2)
    assert b"cnumpy.core.multiarray\n" in pickled
    path.write_bytes(pickled.replace(b"cnumpy.core.multiarray", b"cnumpy._core.multiarray"))
    assert_same(read_pickle(path), np.arange(3))


def test_what_is_written_is_read_by_pickle_itself(tmp_path: Path) -> None:
    write_pickle(tmp_path / "x.pkl", contents())
    raw = (tmp_path / "x.pkl").read_bytes()
    assert raw[:2] == b"\x80\x02"
    assert_same(pickle.loads(raw)[4], contents()[4])


class Calls:
    def __reduce__(self) -> tuple:
        return (print, ("owned",))


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Calls(), "__builtin__.print"),
        ([np.zeros(2), Calls()], "__builtin__.print"),
        (datetime.date(2020, 1, 1), "datetime.date"),
        (collections.Counter("a"), "collections.Counter"),
        (np.random.RandomState(0), "numpy.random"),
    ],
)
def test_anything_else_is_refused_by_name(value: Any, named: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, 2))
    for read in (read_pickle, read_checkpoint):
        with pytest.raises(UserError, match=rf"x\.pkl: refused: it wants to call {named}"):
            read(path)


@pytest.mark.parametrize(
    "value", [np.array([{}, None], object), np.array(["a"]), np.zeros(2, [("a", "f4")])]
)
def test_arrays_of_numbers_only(value: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(value, 2))
    with pytest.raises(UserError, match="no type of numbers"):
        read_pickle(path)


def test_bytes_that_do_not_fill_the_shape(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    pickled = pickle.dumps(np.arange(3, dtype=np.int8), 4)
    assert pickled.count(b"K\x03\x85") == 1
    path.write_bytes(pickled.replace(b"K\x03\x85", b"K\x04\x85"))
    with pytest.raises(UserError, match=r"shape \(4,\) in 3 bytes"):
        read_pickle(path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated(share: float, tmp_path: Path) -> None:
    pickled = pickle.dumps(contents(), 2)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickled[: int(len(pickled) * share)])
    with pytest.raises(UserError, match=r"x\.pkl is truncated"):
        read_pickle(path)


def test_no_pickle(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_pickle(tmp_path / "absent.pkl")
    (tmp_path / "x.pkl").write_text("[]")
    with pytest.raises(UserError, match=r"x\.pkl: not a pickle"):
        read_pickle(tmp_path / "x.pkl")


def test_tensors_within_a_plain_pickle_are_called_so(tmp_path: Path) -> None:
    """As mmdet 3.x dumps its results: intact, so not to be called damaged."""
    (tmp_path / "results.pkl").write_bytes(
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n"
        b"(ctorch.storage\n_load_from_bytes\nU\x01x\x85RK\x00))tR."
    )
    with pytest.raises(UserError, match="holds PyTorch tensors that Python's pickle wrote"):
        read_pickle(tmp_path / "results.pkl")


def test_jittor_reads_ours_and_we_read_jittors(tmp_path: Path) -> None:
    import jittor as jt

    arrays = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([4])}
    write_jittor(tmp_path / "ours.pkl", arrays)
    assert_same(jt.load(str(tmp_path / "ours.pkl")), arrays)
    assert_same(read_checkpoint(tmp_path / "ours.pkl"), arrays)
    layer = jt.nn.Linear(3, 2)
    layer.save(str(tmp_path / "theirs.pkl"))
    actual = read_checkpoint(tmp_path / "theirs.pkl")
    assert_same(actual, {"weight": layer.weight.numpy(), "bias": layer.bias.numpy()})


def test_jittors_checksum(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    write_jittor(path, {"w": np.zeros(100, np.float32)})
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(UserError, match=r"x\.pkl: it is damaged: its checksum does not match"):
        read_checkpoint(path)
