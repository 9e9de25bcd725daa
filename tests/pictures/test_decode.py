"""Picture files of every mode, orientation and size."""

from __future__ import annotations

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unidet.data.images import read_image, read_size
from unidet.errors import UserError
from unidet.pictures import decode
from unidet.pictures.decode import read_picture

RED, BLUE = (255, 0, 0), (0, 0, 255)


def halves(width: int = 4, height: int = 2) -> Image.Image:
    """Left half red, right half blue."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height))
    return image


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("turn", "corner", "size"),
    [
        # where the first stored column (red) shows: left, right, right, left, top, top, bottom, …
        (1, (0, 0), (2, 4)),
        (2, (0, -1), (2, 4)),
        (3, (0, -1), (2, 4)),
        (4, (0, 0), (2, 4)),
        (5, (0, 0), (4, 2)),
        (6, (0, 0), (4, 2)),
        (7, (-1, 0), (4, 2)),
        (8, (-1, 0), (4, 2)),
        # of no meaning, as some cameras write: as stored
        (0, (0, 0), (2, 4)),
        (9, (0, 0), (2, 4)),
    ],
)
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_upright_by_exif(
    turn: int, corner: tuple[int, int], size: tuple[int, int], suffix: str, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = save(tmp_path / f"x{suffix}", halves(), exif=exif)
    picture = read_picture(path)
    assert picture.size_hw == picture.pixels.shape[:2] == size
    assert tuple(picture.pixels[corner]) == RED
    assert read_size(path) == size[::-1]
    assert (read_image(path) == picture.pixels).all()


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 0xFFFF]], np.uint16)
    for name in ("x.png", "x.tif"):
        picture = read_picture(save(tmp_path / name, Image.fromarray(values)))
        assert picture.pixels[0, :, 0].tolist() == [0, 0, 1, 255]
        assert (picture.pixels == picture.pixels[:, :, :1]).all()


@pytest.mark.parametrize(("most", "dark"), [(255, True), (4095, True), (20_000, False)])
@pytest.mark.parametrize("kind", [np.uint16, np.int32])
def test_fewer_bits_in_sixteen_are_told(
    most: int, dark: bool, kind: type[np.generic], tmp_path: Path
) -> None:
    """As cameras of 12 bits write them: what they show becomes nearly black."""
    file = save(tmp_path / "x.tif", Image.fromarray(np.array([[0, most]], kind)))
    note = read_picture(file).note
    assert note == (
        f"its brightest pixel is {most >> 8} of 255 once its 16 bits are scaled to 8, so the "
        "network sees it nearly black; scale it to 8 bits yourself"
        if dark
        else ""
    )


@pytest.mark.parametrize(("most", "told"), [(30_000, True), (29_000 + 32 * 256, False)])
def test_a_narrow_part_of_sixteen_bits_is_told(most: int, told: bool, tmp_path: Path) -> None:
    """As thermal cameras write it: 29,000 and 30,000 are 113 and 117 of 255."""
    values = np.array([[29_000, most]], np.uint16)
    note = read_picture(save(tmp_path / "x.tif", Image.fromarray(values))).note
    assert note == (
        "its pixels are 113 to 117 of 255 once its 16 bits are scaled to 8, so the network sees it "
        "nearly uniform; scale it to 8 bits yourself"
        if told
        else ""
    )


@pytest.mark.parametrize(("colours", "mode"), [(2, "RGB"), (6, "RGBA"), (4, "LA")])
def test_fewer_bits_in_sixteen_are_told_of_colours_too(
    colours: int, mode: str, tmp_path: Path
) -> None:
    """Pillow keeps the upper byte of these PNGs, and says nothing."""
    content = deep_png(colours, [4095] * (len(mode) - mode.count("A")) + [0xFFFF] * mode.count("A"))
    (tmp_path / "x.png").write_bytes(content)
    picture = read_picture(tmp_path / "x.png")
    assert picture.pixels.tolist() == [[[15, 15, 15]]]
    assert picture.note.startswith("its brightest pixel is 15 of 255 once its 16 bits")


def deep_png(colours: int, values: list[int]) -> bytes:
    """One pixel of 16 bits a channel (PNG specification, 11.2)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        end = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + end

    header = struct.pack(">IIBBBBB", 1, 1, 16, colours, 0, 0, 0)
    row = zlib.compress(b"\0" + struct.pack(f">{len(values)}H", *values))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", row) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_what_nobody_sees_is_told(tmp_path: Path) -> None:
    image = halves()
    image.putalpha(0)
    picture = read_picture(save(tmp_path / "x.png", image))
    assert picture.note.startswith("is transparent all over, so the network sees it white")
    image.putalpha(1)
    assert read_picture(save(tmp_path / "y.png", image)).note == ""


def test_more_than_sixteen_bits_are_refused_by_name(tmp_path: Path) -> None:
    wide = Image.fromarray(np.array([[0, 0x10000]], np.int32))
    with pytest.raises(UserError, match="more than 16 bits"):
        read_picture(save(tmp_path / "x.tif", wide))
    real = Image.fromarray(np.zeros((2, 2), np.float32))
    with pytest.raises(UserError, match="of mode F, which has no one meaning as colours"):
        read_picture(save(tmp_path / "y.tif", real))


def test_cmyk(tmp_path: Path) -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = read_picture(save(tmp_path / "x.jpg", ink)).pixels
    assert np.abs(pixels.astype(int) - RED).max() < 8


def test_palettes(tmp_path: Path) -> None:
    pixels = read_picture(save(tmp_path / "x.png", halves().quantize(4))).pixels
    assert pixels[0].tolist() == [[*RED], [*RED], [*BLUE], [*BLUE]]
    bits = Image.new("1", (2, 1))
    bits.putpixel((1, 0), 1)
    assert read_picture(save(tmp_path / "y.png", bits)).pixels[0].tolist() == [[0] * 3, [255] * 3]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    grey = Image.new("LA", (2, 1), (100, 255))
    grey.putpixel((1, 0), (100, 0))
    assert read_picture(save(tmp_path / "x.png", grey)).pixels[0].tolist() == [[100] * 3, [255] * 3]
    palette = halves().quantize(4)
    place = palette.getpixel((0, 0))
    pixels = read_picture(save(tmp_path / "y.png", palette, transparency=place)).pixels
    assert pixels[0].tolist() == [[255] * 3, [255] * 3, [*BLUE], [*BLUE]]


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_of_an_animation_the_first_frame(suffix: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    options = {"save_all": True, "append_images": frames[1:]} | (
        {"lossless": True} if suffix == ".webp" else {}
    )
    picture = read_picture(save(tmp_path / f"x{suffix}", frames[0], **options))
    assert tuple(picture.pixels[0, 0]) == RED
    what = "pages" if suffix == ".tif" else "frames"
    assert picture.note == f"has several {what}; the first is read"


def test_a_jpeg_whose_data_end_early_is_told(tmp_path: Path) -> None:
    """Viewers show its lower part grey, and Pillow says nothing."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    path = save(tmp_path / "x.jpg", noise)
    assert read_picture(path).note == ""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + content[-2:])
    picture = read_picture(path)
    assert picture.pixels.shape == (64, 64, 3)
    assert picture.note.startswith("is damaged: its data do not make a whole picture")
    path = save(tmp_path / "grey.jpg", Image.new("RGB", (64, 64), (128, 128, 128)))
    assert read_picture(path).note == "", "grey by intent"


def test_of_an_mpo_the_main_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    options = {"save_all": True, "append_images": frames[1:]}
    path = save(tmp_path / "x.jpg", frames[0], format="MPO", **options)
    picture = read_picture(path)
    assert picture.pixels[0, 0, 0] > 250
    assert picture.note == ""


@pytest.mark.parametrize(
    ("suffix", "size"), [(".jpg", (1, 2000)), (".png", (2000, 1)), (".jpg", (1, 1))]
)
def test_strips(suffix: str, size: tuple[int, int], tmp_path: Path) -> None:
    pixels = read_picture(save(tmp_path / f"x{suffix}", Image.new("RGB", size, RED))).pixels
    assert pixels.shape == (size[1], size[0], 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK"])
def test_a_large_picture_is_decoded_smaller(suffix: str, mode: str, tmp_path: Path) -> None:
    """200x100 in at most 6,000 pixels: a half of each side, 100x50."""
    if (suffix, mode) in ((".jpg", "P"), (".png", "CMYK")):
        pytest.skip("no such files")
    picture = read_picture(save(tmp_path / f"x{suffix}", halves(200, 100).convert(mode)), 6000)
    assert picture.size_hw == (100, 200)
    assert picture.pixels.shape == (50, 100, 3)
    if mode != "L":
        assert np.abs(picture.pixels[25, 10].astype(int) - RED).max() < 8


def test_large_sixteen_bit_pictures_and_turned_ones(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((100, 200), 0x8000, np.uint16))
    picture = read_picture(save(tmp_path / "x.png", deep), 6000)
    assert (picture.pixels == 0x80).all()
    assert picture.pixels.shape == (50, 100, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_picture(save(tmp_path / "y.jpg", halves(200, 100), exif=exif), 6000)
    assert picture.size_hw == (200, 100)
    assert picture.pixels.shape == (100, 50, 3)
    assert picture.pixels[10, 25, 0] > 240


def test_what_would_take_too_much_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "WHOLE_PIXELS", 10_000)
    image = halves(200, 100)
    with pytest.raises(UserError, match=r"x\.png: PNG of 200x100 pixels; more than 10,000 are"):
        read_picture(save(tmp_path / "x.png", image))
    with pytest.raises(UserError, match="progressive JPEG of 200x100 pixels"):
        read_picture(save(tmp_path / "x.jpg", image, progressive=True))
    assert read_picture(save(tmp_path / "y.jpg", image)).pixels.shape == (100, 200, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_picture(save(tmp_path / "y.jpg", image)).pixels.shape == (100, 200, 3)
    with pytest.raises(UserError, match="has too many pixels; more than 10,000 are"):
        read_picture(tmp_path / "x.png")


def test_heic_asks_for_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "x.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    with pytest.raises(
        UserError, match=r"x\.heic: is a HEIC or AVIF image; run: pip install 'unidet\[heif\]'"
    ):
        read_picture(tmp_path / "x.heic")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty: fetch or write it again"),
        (b"plain text", "is text, which begins with 'plain text'; replace it"),
        (bytes(300), "begins with zeros, as a copy that broke off; replace it"),
        (b"\xfe\x01 of no kind", "the file is damaged or not an image; replace it"),
        (b"\xff\xd8\xff\xe0 and no more", "the file is damaged or not an image; replace it"),
        (None, "cannot be opened: No such file or directory"),
    ],
)
def test_what_is_no_picture(content: bytes | None, complaint: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(UserError, match=rf"x\.jpg: {complaint}$"):
        read_picture(tmp_path / "x.jpg")


def test_a_picture_that_breaks_off(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("x.jpg", "x.png"):
        path = save(tmp_path / name, Image.fromarray(noise))
        path.write_bytes(path.read_bytes()[:-400])
        with pytest.raises(UserError, match=r"the file is truncated; replace it"):
            read_picture(path)


LARGEST = r"""
import re, sys
from pathlib import Path
from unidet.pictures.decode import read_picture
picture = read_picture(Path(sys.argv[1]))
assert picture.size_hw == (20_000, 30_000), picture.size_hw
assert picture.pixels.shape == (5_000, 7_500, 3), picture.pixels.shape
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.slow
def test_six_hundred_million_pixels_take_half_a_gigabyte(tmp_path: Path) -> None:
    import subprocess

    path = save(tmp_path / "x.jpg", Image.new("L", (30_000, 20_000), 90))
    done = subprocess.run(
        [sys.executable, "-c", LARGEST, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 600
