"""Files of arrays: numpy's own bytes, and one error where the disk is full."""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disks import no_room

from unidet.errors import Malformed
from unidet.store.arrays import load_array, load_arrays, map_arrays, reserve_array, save_arrays

ARRAYS = {
    "a/b": np.arange(6).reshape(2, 3),
    "text": np.array(["ä", "bc"]),
    "nothing": np.zeros((0, 4), np.float32),
    "one": np.float64(0.5),
}


def test_numpy_reads_an_archive(tmp_path: Path) -> None:
    save_arrays(tmp_path / "ours.npz", ARRAYS)
    with np.load(tmp_path / "ours.npz") as archive:
        assert archive.files == [*ARRAYS]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(archive[name], array)


@pytest.mark.parametrize("save", [save_arrays, lambda path, arrays: np.savez(path, **arrays)])
def test_an_archive_is_mapped(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", ARRAYS)
    mapped = map_arrays(tmp_path / "a.npz")
    assert [*mapped] == [*ARRAYS]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(mapped[name], array)
        assert mapped[name].dtype == np.asarray(array).dtype
        assert mapped[name].flags.aligned


def test_mapped_arrays_begin_where_they_can_be_used(tmp_path: Path) -> None:
    save_arrays(tmp_path / "a.npz", ARRAYS)
    places = [array.ctypes.data % 64 for array in map_arrays(tmp_path / "a.npz").values()]
    assert places == [0] * len(ARRAYS)


@pytest.mark.parametrize("room", [0, 100, 3000])
def test_an_archive_on_a_full_disk_is_one_error(tmp_path: Path, room: int) -> None:
    """Nothing complains once more when the archive is collected."""
    with no_room(room):
        with pytest.raises(OSError, match="File too large") as caught:
            save_arrays(tmp_path / "a.npz", {"zeros": np.zeros(1000), "more": np.zeros(1000)})
        assert caught.value.errno == errno.EFBIG
        del caught
        gc.collect()


def test_a_file_to_be_mapped_has_all_its_room(tmp_path: Path) -> None:
    path = tmp_path / "pixels.npy"
    reserve_array(path, np.uint8, (40, 100, 100, 3))
    assert path.stat().st_blocks * 512 >= 1_200_000
    pixels = np.load(path, mmap_mode="r+")
    assert (pixels.shape, pixels.dtype, pixels.max()) == ((40, 100, 100, 3), np.uint8, 0)


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    """A megabyte of a file from elsewhere could take a gigabyte of memory."""
    path = tmp_path / "index.npz"
    np.savez_compressed(path, labels=np.zeros(1 << 20))
    with pytest.raises(Malformed, match=r"labels\.npy is compressed"):
        load_arrays(path, {"labels": ("f", (None,))})


def test_no_other_arrays_are_loaded(tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    save_arrays(path, {"labels": np.zeros(3), "others": np.zeros(3)})
    assert list(load_arrays(path, {"labels": ("f", (None,))})) == ["labels"]


@pytest.mark.parametrize("mapped", [True, False])
def test_an_archive_in_place_of_an_array_is_named(tmp_path: Path, mapped: bool) -> None:
    """`np.load` opens it, whatever the file's name."""
    path = tmp_path / "x.npy"
    save_arrays(path, {"x": np.ones(3)})
    with pytest.raises(Malformed, match=r"x\.npy: not a valid file .*an archive of arrays"):
        load_array(path, "f", (None,), mapped=mapped)


@pytest.mark.parametrize("mapped", [True, False])
def test_a_size_that_overflows_is_refused_without_a_warning(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "x.npy"
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': (3, {2**63 - 1})}}\n".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(Malformed, match=r"x\.npy: not a valid file .*\(ValueError"):
        load_array(path, "f", (None, None), mapped=mapped)
