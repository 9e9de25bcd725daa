"""Images and the index on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unidet.data.images import FolderImages, PackedImages, check_images, read_image
from unidet.data.index import load_split, save_split
from unidet.data.readers import read_split
from unidet.errors import UserError
from unidet.records import Category, Split


@pytest.fixture
def split(content: dict, write: Callable[[dict], Path], folder: Path) -> Split:
    return read_split(write(content), folder, name="tiny")[0]


def test_folder_images(split: Split, folder: Path) -> None:
    images = FolderImages(folder, split.file_names)
    assert len(images) == 3
    assert images.size(1) == (40, 60)
    pixels = images.read(1)
    assert pixels.dtype == np.uint8
    expected = np.random.default_rng(1).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels, expected)
    check_images(images, split, deep=True)


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    Image.new("L", (4, 3), 7).save(tmp_path / "grey.png")
    Image.new("RGBA", (4, 3), (1, 2, 3, 0)).save(tmp_path / "clear.png")
    assert read_image(tmp_path / "grey.png").tolist() == [[[7, 7, 7]] * 4] * 3
    assert read_image(tmp_path / "clear.png")[0, 0].tolist() == [1, 2, 3]


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 3), 40000, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match="convert it to 8 bits"):
        read_image(tmp_path / "deep.png")


def test_images_stand_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter to the right: the left half comes on top
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    images = FolderImages(tmp_path, ["turned.png"])
    assert images.size(0) == (16, 32)
    upright = images.read(0)
    assert upright.shape == (32, 16, 3)
    assert upright[:16].min() == 255
    assert upright[16:].max() == 0


def test_a_truncated_image_is_named(split: Split, folder: Path) -> None:
    path = folder / "b.png"
    path.write_bytes(path.read_bytes()[:2000])
    images = FolderImages(folder, split.file_names)
    with pytest.raises(UserError, match=r"b\.png: the file is truncated"):
        images.read(2)
    check_images(images, split)  # the header is whole
    with pytest.raises(UserError, match=r"b\.png: the file is truncated"):
        check_images(images, split, deep=True)


def test_other_damage_is_named(split: Split, folder: Path) -> None:
    images = FolderImages(folder, split.file_names)
    (folder / "b.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"b\.png: the file is damaged or not an image"):
        check_images(images, split)
    (folder / "a.png").unlink()
    with pytest.raises(UserError, match=r"a\.png: cannot be opened: No such file"):
        check_images(images, split)


def test_a_wrong_size_is_named(split: Split, folder: Path) -> None:
    wrong = dataclasses.replace(split, widths=split.heights, heights=split.widths)
    with pytest.raises(UserError, match=r"c\.png: is 64x48 pixels, .*id 30\) say 48x64"):
        check_images(FolderImages(folder, split.file_names), wrong)


def test_packed_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    images = PackedImages(tmp_path / "images.npy")
    assert len(images) == 3
    np.testing.assert_array_equal(images.read(2), pixels[2])
    assert images.name(2).endswith("images.npy[2]")


def test_a_turned_image_of_another_size_is_explained(split: Split, folder: Path) -> None:
    """Stored 64x48, shown 48x64: sizes that were read past EXIF name the stored ones."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(folder / "c.png", exif=exif)
    images = FolderImages(folder, split.file_names)
    with pytest.raises(UserError) as caught:
        check_images(images, split)
    assert str(caught.value) == (
        f"{folder / 'c.png'}: is 48x64 pixels (stored as 64x48, turned upright by its EXIF "
        "orientation 6), its annotations (image id 30) say 64x48"
    )


def test_damaged_packed_images_are_named(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    with pytest.raises(UserError, match="No such file"):
        len(PackedImages(path))
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="damaged"):
        len(PackedImages(path))
    for wrong in (
        np.zeros((3, 4, 3), np.uint8),
        np.zeros((3, 4, 5, 1), np.uint8),
        np.zeros((3, 4, 5, 3)),
    ):
        np.save(path, wrong)
        with pytest.raises(UserError, match=r"must be \(N, H, W, 3\) uint8"):
            len(PackedImages(path))


def test_index_round_trip(split: Split, tmp_path: Path) -> None:
    named = dataclasses.replace(
        split,
        file_names=("ä b.png", "x\ny.png", ""),
        categories=(
            Category(2, "ant", "r", 1, 1, synonyms=("emmet", "pismire")),
            *split.categories[1:],
        ),
    )
    path = tmp_path / "index.npz"
    save_split(named, path)
    loaded = load_split(path, named.name)
    for field in dataclasses.fields(Split):
        before, after = getattr(named, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            np.testing.assert_array_equal(after, before)
            assert after.dtype == before.dtype
        else:
            assert after == before


def test_index_bytes_depend_on_the_split_alone(split: Split, tmp_path: Path) -> None:
    save_split(split, tmp_path / "a.npz")
    save_split(load_split(tmp_path / "a.npz", "another name"), tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "index.npz"
    with pytest.raises(UserError, match=r"index\.npz: no readable split index"):
        load_split(path, "tiny")
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(UserError, match=r"index\.npz: no readable split index"):
        load_split(path, "tiny")
    np.savez(path, other=np.zeros(1))
    with pytest.raises(UserError, match=r"index\.npz: no readable split index"):
        load_split(path, "tiny")


def test_real_images_are_whole(reference: Path) -> None:
    bench = reference / "bench"
    root = bench / "coco"
    split, _ = read_split(bench / "lvis" / "lvis_v0.5_val_12.json", root, name="real")
    check_images(FolderImages(root, split.file_names), split, deep=True, threads=2)
    wrong = dataclasses.replace(split, widths=split.widths + np.eye(1, 12, 7, dtype=np.int32)[0])
    with pytest.raises(UserError, match=f"image id {split.image_ids[7]}"):
        check_images(FolderImages(root, split.file_names), wrong)
