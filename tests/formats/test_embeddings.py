"""Embeddings of names: finite real numbers, a row for each category, or one line."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.formats.embeddings import read_embeddings, read_named_embeddings


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


def test_rows_of_zeros_stay_and_short_ones_that_networks_lengthen(tmp_path: Path) -> None:
    path = tmp_path / "names.npy"
    np.save(path, [[0, 0], [2e-12, 0], [0, 1]])
    assert read_embeddings(path, 3).tolist() == [[0, 0], [np.float32(2e-12), 0], [0, 1]]


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.full((3, 2), 1e300), "too large for float32"),
        (np.full((3, 2), 2e19), "too large for float32"),  # its length is
        (np.array([[1, 0], [1e-300, 0], [0, 1]]), "too small for float32"),
        (np.array([[1, 0], [9e-13, 0], [0, 1]]), "too small for float32"),  # for networks
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
        header(b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 9223372036854775807)}\n"),
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
    np.save(path, np.array({"cat": np.ones(2)}, object), allow_pickle=True)
    assert refusal(path) == (
        f"{path}: not a readable .npy array (it holds Python objects); write "
        'numpy.savez("FILE.npz", embeddings=ARRAY, names=NAMES)'
    )
    with path.open("wb") as file:
        np.savez(file, names=np.ones((3, 2)))
    assert "not a readable .npy array" in refusal(path)
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    assert "cannot be read (No such file" in refusal(tmp_path / "none.npy")


def test_what_torch_save_writes_is_called_so(tmp_path: Path) -> None:
    """As RegionCLIP's concept embeddings come; an archive whose first member is a pickle."""
    path = tmp_path / "concept_embeds.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("concept_embeds/data.pkl", pickle.dumps(1))
    assert refusal(path) == (
        f"{path}: not a readable .npy array (is a PyTorch file, which is not read here); write its "
        'tensor by numpy.save("FILE.npy", tensor.numpy())'
    )


def test_a_file_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "names.npy"
    np.save(path, np.ones((3, 2)))
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refusal(path)


def test_any_number_of_categories_where_none_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "names.npy"
    np.save(path, np.ones((2, 5)))
    assert read_embeddings(path).shape == (2, 5)
    np.save(path, np.ones((0, 5)))
    with pytest.raises(UserError, match=r"shape \(0, 5\); it must be"):
        read_embeddings(path)


# --- with their names -------------------------------------------------------------------------


def test_a_name_has_one_embedding(tmp_path: Path) -> None:
    path = tmp_path / "names.npz"
    names = np.array(["a", "b", "a"])
    np.savez(path, embeddings=np.array([[1, 2], [3, 4], [1, 5]]), names=names)
    assert "rows 1 and 3 are both of 'a' and differ" in named_refusal(path)
    np.savez(path, embeddings=np.array([[1, 2], [3, 4], [1, 2]]), names=names)
    assert read_named_embeddings(path)[1] == ["a", "b", "a"]


def test_embeddings_with_their_names(tmp_path: Path) -> None:
    path = tmp_path / "names.npz"
    np.savez(path, embeddings=np.ones((2, 3), "<f2"), names=np.array(["a", "b"]))
    vectors, names = read_named_embeddings(path)
    assert (vectors.tolist(), vectors.dtype, names) == ([[1, 1, 1]] * 2, np.float32, ["a", "b"])
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert "not a readable .npz file" in named_refusal(path)


def test_names_are_one_line_each_as_in_labels(tmp_path: Path) -> None:
    """`readlines()` keeps the line breaks: class 1 would stand on line 3 of YOLO's classes.txt."""
    path = tmp_path / "names.npz"
    np.savez(path, embeddings=np.ones((3, 2)), names=np.array(["cat\n", "\x1b[31mdog", "a\nb "]))
    assert read_named_embeddings(path)[1] == ["cat", "[31mdog", "a b"]
    np.savez(path, embeddings=np.ones((2, 2)), names=np.array(["cat", "\n"]))
    with pytest.raises(UserError, match=r"names\.npz: name 2 is empty; write a name"):
        read_named_embeddings(path)


def test_an_archive_that_would_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unidet.weights.zips.UNPACKED_BYTES", 1 << 16)
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, embeddings=np.zeros((2, 50_000)), names=np.array(["a", "b"]))
    assert "would unpack to" in named_refusal(path)


def named_refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_named_embeddings(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"embeddings": np.ones((2, 3))}, "has no array 'names"),
        ({"names": np.array(["a"])}, "has no array 'embeddings"),
        ({"embeddings": np.ones((2, 3)), "names": np.array(["a"])}, "but the vocabulary has 1"),
        ({"embeddings": np.ones((1, 3)), "names": np.array([1])}, "its names are int64 (1,)"),
        ({"embeddings": np.full((1, 3), np.nan), "names": np.array(["a"])}, "NaN"),
        ({"embeddings": np.ones((0, 3)), "names": np.zeros(0, "U1")}, "shape (0, 3)"),
        ({"embeddings": np.array([{}]), "names": np.array(["a"])}, "not a readable .npz file"),
    ],
)
def test_archives_that_do_not_fit(
    tmp_path: Path, arrays: dict[str, np.ndarray], problem: str
) -> None:
    path = tmp_path / "names.npz"
    np.savez(path, **arrays)
    assert problem in named_refusal(path)


def test_what_is_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "names.npz"
    assert "cannot be read (No such file" in named_refusal(path)
    for content in (b"", b"?", pickle.dumps([1.0])):
        path.write_bytes(content)
        assert "not a readable .npz file" in named_refusal(path)
    with path.open("wb") as file:
        np.save(file, np.ones((2, 3)))
    assert "not a readable .npz file" in named_refusal(path)
