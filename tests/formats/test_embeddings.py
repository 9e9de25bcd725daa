"""Embeddings of names: finite real numbers, a row for each category, or one line."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.formats.embeddings import read_embeddings


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_embeddings(path, 3)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4", "<i8", "|u1"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_numbers_are_taken_as_float32(tmp_path: Path, kind: str, order: Any) -> None:
    path = tmp_path / "names.npy"
    np.save(path, np.array([[1, 2], [3, 4], [5, 6]], kind, order=order))
    vectors = read_embeddings(path, 3)
    assert vectors.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.full((3, 2), 1e300), "too large for float32"),
        (np.full((3, 2), -np.inf), "infinite"),
        (np.full((3, 2), np.nan), "NaN"),
        (np.ones((3, 2), complex), "holds complex128"),
        (np.ones((3, 2), "datetime64[s]"), "holds datetime64[s]"),
        (np.ones((3, 2), bool), "holds bool"),
        (np.full((3, 2), "a"), "holds <U1"),
        (np.zeros((3, 2), "V4"), "holds |V4"),
        (np.zeros(3, [("x", "<f4")]), "holds [('x', '<f4')]"),
        (np.ones((3, 0)), "shape (3, 0), but the vocabulary has 3 categories"),
        (np.ones((2, 5)), "shape (2, 5)"),
        (np.ones((0, 5)), "shape (0, 5)"),
        (np.ones(3), "shape (3,)"),
        (np.float32(1), "shape ()"),
        (np.ones((3, 2, 1)), "shape (3, 2, 1)"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, array: np.ndarray, problem: str) -> None:
    path = tmp_path / "names.npy"
    np.save(path, array)
    assert problem in refusal(path)


def header(text: bytes, version: bytes = b"\x01\x00") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an array",
        b"\x93NUMPY",
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99999999999999)}\n"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, " + b"9" * 40 + b")}\n"),
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 2)}\n"),
        header(b"{'descr': '<f4', 'fortran_order': 3, 'shape': (3, 2)}\n"),
        header(b"{'descr': 'nothing', 'fortran_order': False, 'shape': (3, 2)}\n"),
        header(b"[" * 3000 + b"\n"),
        header(b"{}\n", version=b"\x09\x00"),
        pickle.dumps([1.0]),
        b"PK\x03\x04",
    ],
)
def test_files_that_are_no_array(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "names.npy"
    path.write_bytes(content)
    assert "not a readable .npy array" in refusal(path)


def test_archives_objects_folders_and_nothing(tmp_path: Path) -> None:
    path = tmp_path / "names.npy"
    np.save(path, np.array([[{}, []]], object), allow_pickle=True)
    assert "not a readable .npy array" in refusal(path)
    with path.open("wb") as file:
        np.savez(file, names=np.ones((3, 2)))
    assert "not a readable .npy array" in refusal(path)
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    assert "cannot be read (No such file" in refusal(tmp_path / "none.npy")


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "names.npy"
    np.save(path, np.ones((3, 2)))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)
