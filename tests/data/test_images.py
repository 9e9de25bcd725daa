"""Images and the index on disk."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from splits import read_split

from unidet.data.images import FolderImages, PackedImages, check_images, read_image, read_size
from unidet.data.index import load_split, save_split
from unidet.errors import Malformed, UserError
from unidet.formats.findings import Finding
from unidet.pictures.decode import read_picture
from unidet.records import Category, Split
from unidet.store.hashing import sha256_file


@pytest.fixture
def split(content: dict, write: Callable[[dict], Path], folder: Path) -> Split:
    return read_split(write(content), folder, name="tiny")[0]


def test_folder_images(split: Split, folder: Path) -> None:
    images = FolderImages(folder, split.file_names)
    assert len(images) == 3
    pixels = images.read(1)
    assert pixels.dtype == np.uint8
    expected = np.random.default_rng(1).integers(0, 256, (60, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels, expected)
    check_images(images, split)


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    """As `detect` sees them: 1 at an alpha of 51, a fifth, is 255 - 254 / 5, rounded."""
    Image.new("L", (4, 3), 7).save(tmp_path / "grey.png")
    clear = Image.new("RGBA", (4, 3), (1, 2, 3, 0))
    clear.putpixel((1, 0), (1, 1, 1, 51))
    clear.putpixel((2, 0), (1, 2, 3, 255))
    clear.save(tmp_path / "clear.png")
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 1, 2, 3])
    palette.putpixel((1, 0), 1)
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read_image(tmp_path / "grey.png").tolist() == [[[7, 7, 7]] * 4] * 3
    row = [[255, 255, 255], [204, 204, 204], [1, 2, 3], [255, 255, 255]]
    assert read_image(tmp_path / "clear.png")[0].tolist() == row
    assert read_image(tmp_path / "palette.png").tolist() == [[[255, 255, 255], [1, 2, 3]]]
    for name in ("clear.png", "palette.png"):
        seen = read_picture(tmp_path / name).pixels
        np.testing.assert_array_equal(read_image(tmp_path / name), seen)


@pytest.mark.parametrize("turn", [1, 6])
def test_sixteen_bits_are_read_as_by_detect(tmp_path: Path, turn: int) -> None:
    values = np.arange(0, 0x10000, 0x111, dtype=np.uint16)[:240].reshape(12, 20)
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "deep.png"
    Image.fromarray(values).save(path, exif=exif)
    seen = read_picture(path)
    np.testing.assert_array_equal(read_image(path), seen.pixels)
    assert seen.pixels.max() == (239 * 0x111) >> 8


def test_what_a_network_hardly_sees_is_remarked(split: Split, folder: Path) -> None:
    """12 bits in 16, and an image that is transparent all over; see test_decode.py too."""
    images = FolderImages(folder, split.file_names)
    sides = [(split.heights[row], split.widths[row]) for row in range(2)]
    Image.fromarray(np.full(sides[0], 4095, np.uint16)).save(folder / split.file_names[0], "PNG")
    clear = np.zeros((*sides[1], 4), np.uint8)
    Image.fromarray(clear, "RGBA").save(folder / split.file_names[1], "PNG")
    remarks = check_images(images, split)
    assert list(remarks.values()) == [
        Finding(1, split.file_names[0]),
        Finding(1, split.file_names[1]),
    ]
    assert "nearly black, once its 16 bits are scaled to 8" in next(iter(remarks))
    assert "transparent all over, which the network sees white" in [*remarks][1]


def test_images_stand_upright(tmp_path: Path) -> None:
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter to the right: the left half comes on top
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    images = FolderImages(tmp_path, ["turned.png"])
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
    with pytest.raises(UserError, match=r"b\.png: the file is truncated"):
        check_images(images, split)


@pytest.mark.parametrize("read", [read_image, read_size, read_picture])
def test_damage_amid_a_png_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.arange(1200, dtype=np.uint8).reshape(20, 20, 3)).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 40] ^= 4
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.png: the file is damaged"):
        read(path)


def test_progress_counts_decoded_images(split: Split, folder: Path) -> None:
    counted: list[tuple[int, int]] = []
    check_images(
        FolderImages(folder, split.file_names),
        split,
        progress=lambda done, total: counted.append((done, total)),
    )
    assert counted == [(3, 3)]


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image"),
        (b"\0\0\0\x18ftypheix\0\0\0\0mif1heix", "a HEIC image"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1", "a HEIC or AVIF image"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
        (b"\xff\x0a\xfa\x7f", "a JPEG XL image"),
        (b"\0\0\0\x18ftypcrx ", "a camera's raw image (CR3)"),
        (b"FUJIFILMCCD-RAW 0201", "a camera's raw image (RAF)"),
        (bytes(128) + b"DICM", "a DICOM image"),
        (b"v/1\x01\x02\0\0\0", "an OpenEXR image"),
        (b"#?RADIANCE\n", "a Radiance image (HDR)"),
        (b"8BPS\0\1", "a Photoshop image of a kind"),
        (b"%PDF-1.7", "a PDF document"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing"),
    ],
)
def test_what_has_no_reader_is_named(tmp_path: Path, head: bytes, named: str) -> None:
    """Whole files of other kinds; first bytes as the formats' specifications give them."""
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + bytes(200))
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert str(caught.value) == (
        f"{path}: is {named} that this Pillow does not read; convert it to 8-bit JPEG or PNG"
    )


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (
            b"\0\0\0\x18ftypmp42",
            "is a film, not an image; `unidet detect` reads films, under a suffix",
        ),
        (b"RIFF\0\0\0\0AVI LIST", "is a film, not an image"),
        ((b"G" + bytes(187)) * 2, "is a film, not an image"),
        (b"\0\5\x16\7\0\2", "holds what macOS notes about a file"),
        (b'{"error": 404}', """is text, which begins with '{"error": 404}'; replace it, or"""),
        (bytes(64), "begins with zeros"),
    ],
)
def test_what_is_no_image_is_named(tmp_path: Path, head: bytes, named: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(head)
    with pytest.raises(UserError, match=rf"photo\.jpg: {re.escape(named)}"):
        read_image(path)


@pytest.mark.parametrize(("suffix", "named"), [("avif", "an AVIF"), ("webp", "a WebP")])
def test_a_pillow_without_a_decoder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, named: str
) -> None:
    path = tmp_path / f"photo.{suffix}"
    if not features.check(suffix):
        pytest.skip(f"this Pillow writes no {suffix}")
    Image.new("RGB", (8, 8)).save(path)
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name != suffix.upper()])
    with pytest.raises(UserError, match=rf"photo\.{suffix}: is {named} image that this Pillow"):
        read_image(path)


def test_a_pointer_and_an_empty_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(UserError, match=r"a\.jpg: is a Git LFS pointer.*: run git lfs pull"):
        read_image(path)
    path.write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.jpg: is empty: fetch or write it again"):
        read_image(path)


@pytest.mark.parametrize(
    ("kind", "named"), [(np.int32, "of more than 16 bits"), (np.float32, "of mode F, .*8-bit RGB")]
)
def test_more_than_sixteen_bits_are_named(tmp_path: Path, kind: type, named: str) -> None:
    path = tmp_path / "deep.tif"
    Image.fromarray(np.full((3, 3), 70000, kind)).save(path)
    with pytest.raises(UserError, match=rf"deep\.tif: its pixels are {named}"):
        read_image(path)


def test_lab_pixels_are_named(tmp_path: Path) -> None:
    path = tmp_path / "lab.tif"
    Image.new("LAB", (3, 3)).save(path)
    with pytest.raises(UserError, match=r"lab\.tif: its pixels are of mode LAB, .*8-bit RGB"):
        read_image(path)


def test_what_pillow_s_rarer_readers_raise_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.dds"
    Image.new("RGB", (4, 4)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[:80] + struct.pack("<I", 1 << 22) + content[84:])  # pixel format
    for read in (read_image, read_picture):
        with pytest.raises(UserError, match=r"x\.dds: the file is damaged or not an image"):
            read(path)


def test_a_picture_beyond_what_pillow_decodes_is_named(tmp_path: Path) -> None:
    """2 * 89,478,485 pixels is Pillow's limit; a header is enough to be beyond it."""
    path = tmp_path / "huge.png"
    Image.new("1", (20_000, 10_000)).save(path)
    with pytest.raises(UserError, match=r"huge\.png: has more than the 178,956,970 pixels"):
        read_image(path)


def test_a_large_picture_is_read_without_a_warning(tmp_path: Path) -> None:
    """In a process of its own: pytest has warning filters of its own."""
    path = tmp_path / "large.png"
    Image.new("1", (10_000, 9_000)).save(path)
    code = (
        "import sys, pathlib; from unidet.data.images import read_image; "
        "print(read_image(pathlib.Path(sys.argv[1])).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("(9000, 10000, 3)\n", "")


@pytest.mark.parametrize("read", [read_image, read_size, read_picture, sha256_file])
def test_what_has_no_end_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    """None of them waits for a pipe's writer, or reads a device for ever."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "zero.png"):
        with pytest.raises((UserError, OSError), match="no file, but a pipe, a socket or a device"):
            read(tmp_path / name)


def test_other_damage_is_named(split: Split, folder: Path) -> None:
    images = FolderImages(folder, split.file_names)
    (folder / "b.png").write_bytes(b"\xfe\1 no image")
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


def archive_of_arrays() -> bytes:
    """What `np.load` opens as well, whatever the file's name."""
    written = io.BytesIO()
    np.savez(written, np.zeros((1, 4, 5, 3), np.uint8))
    return written.getvalue()


def test_damaged_packed_images_are_named(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    with pytest.raises(UserError, match="No such file"):
        len(PackedImages(path))
    headers = (b"nonsense", b"\x93NUMPY\x01\0\x06\0{'a':\n")
    for content in (*headers, archive_of_arrays()):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a valid file of its stage"):
            len(PackedImages(path))
    for wrong in (
        np.zeros((3, 4, 3), np.uint8),
        np.zeros((3, 4, 5, 1), np.uint8),
        np.zeros((3, 4, 5, 3)),
        np.zeros((3, 4, 5, 3), np.uint16),
    ):
        np.save(path, wrong)
        with pytest.raises(UserError, match="not a valid file of its stage"):
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
    with pytest.raises(UserError, match=r"index\.npz: cannot be read \(No such file"):
        load_split(path, "tiny")
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(Malformed, match=r"index\.npz: not a valid file of its stage \(BadZip"):
        load_split(path, "tiny")
    np.savez(path, other=np.zeros(1))
    with pytest.raises(Malformed, match=r"index\.npz: not a valid file of its stage \(KeyError"):
        load_split(path, "tiny")


@pytest.mark.parametrize("header", ["((((", "{'descr': 0, 'shape': (1.5,)}", "[" * 150, "9" * 99])
def test_an_index_whose_arrays_have_no_headers_is_named(tmp_path: Path, header: str) -> None:
    path = tmp_path / "index.npz"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("widths.npy", array)
    with pytest.raises(Malformed, match=r"index\.npz: not a valid file of its stage"):
        load_split(path, "tiny")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("image_ids", lambda array: array[0]),
        ("widths", lambda array: array.astype(str)),
        ("labels", lambda array: array[:0]),
        ("boxes_xyxy", lambda array: array[:, :3]),
        ("box_image", lambda array: array + 2**20),
        ("boxes_xyxy", lambda array: array * np.float32("nan")),
        ("heights", lambda array: array * 0),
        ("texts", lambda array: np.frombuffer(b"[" * 100_000, np.uint8)),
    ],
)
def test_an_index_of_other_arrays_is_named(
    split: Split, tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = tmp_path / "index.npz"
    save_split(split, path)
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays | {name: change(arrays[name])})
    with pytest.raises(Malformed, match=r"index\.npz: not a valid file of its stage"):
        load_split(path, "tiny")


def test_real_images_are_whole(reference: Path) -> None:
    bench = reference / "bench"
    root = bench / "coco"
    split, _ = read_split(bench / "lvis" / "lvis_v0.5_val_12.json", root, name="real")
    check_images(FolderImages(root, split.file_names), split, threads=2)
    wrong = dataclasses.replace(split, widths=split.widths + np.eye(1, 12, 7, dtype=np.int32)[0])
    with pytest.raises(UserError, match=f"image id {split.image_ids[7]}"):
        check_images(FolderImages(root, split.file_names), wrong)
