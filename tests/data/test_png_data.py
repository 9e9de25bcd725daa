"""PNGs whose data end before their picture does."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from PIL import Image

from unidet.data.png_data import lacks_data
from unidet.errors import UserError
from unidet.pictures.decode import read_picture

BITS = {"1": (1, 0), "L": (8, 0), "P": (8, 3), "RGB": (8, 2), "LA": (8, 4), "RGBA": (8, 6)}
"""Depth and colour type by mode (PNG specification, table 11.1)."""
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def png(
    size: tuple[int, int],
    depth: int,
    colours: int,
    rows: bytes,
    interlaced: bool = False,
) -> bytes:
    """A file of valid chunks with these rows, each of which begins with its filter type."""
    header = struct.pack(">IIBBBBB", *size, depth, colours, 0, 0, int(interlaced))
    data = zlib.compress(rows)
    middle = len(data) // 2
    palette = chunk(b"PLTE", bytes([200, 100, 50] * 256)) if colours == 3 else b""
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette,
            chunk(b"IDAT", data[:middle]) + chunk(b"IDAT", data[middle:]),
            chunk(b"IEND", b""),
        )
    )


def rows_of(width: int, height: int, bits: int) -> bytes:
    return (b"\0" + b"\x55" * ((width * bits + 7) // 8)) * height


def complaint(path: Path) -> str:
    """Some cuts are refused, as Pillow notices them; the others are noted."""
    try:
        return read_picture(path).note
    except UserError as error:
        return str(error)


@pytest.mark.parametrize("size", [(40, 30), (7, 5), (1, 2)])
@pytest.mark.parametrize("mode", BITS)
def test_rows_that_are_missing_are_told(mode: str, size: tuple[int, int], tmp_path: Path) -> None:
    depth, colours = BITS[mode]
    rows, path = rows_of(*size, depth * CHANNELS[colours]), tmp_path / "a.png"
    path.write_bytes(png(size, depth, colours, rows))
    assert read_picture(path).note == ""
    row = len(rows) // size[1]
    for cut in (size[1] // 2 * row, len(rows) - row, len(rows) - 1):
        path.write_bytes(png(size, depth, colours, rows[:cut]))
        assert complaint(path)


def test_what_pillow_shows_black_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png((40, 30), 8, 2, rows_of(40, 15, 24)))
    picture = read_picture(path)
    assert picture.pixels[[14, 15], 0].tolist() == [[0x55] * 3, [0] * 3]
    assert picture.note == (
        "is damaged: its data do not make a whole picture, the rest is black; replace it"
    )


def test_passes_that_are_missing_are_told(tmp_path: Path) -> None:
    """8x8 in seven passes: 1x1, 1x1, 2x1, 2x2, 4x2, 4x4, 8x4 pixels, a byte more for each row."""
    counts = [2, 2, 3, 2 * 3, 2 * 5, 4 * 5, 4 * 9]
    path = tmp_path / "a.png"
    for passes in range(8):
        path.write_bytes(png((8, 8), 8, 0, bytes(sum(counts[:passes])), interlaced=True))
        assert bool(complaint(path)) == (passes < 7)


@pytest.mark.parametrize(("size", "count"), [((1, 1), 2), ((5, 3), 2 + 2 + 0 + 2 + 4 + 2 * 3 + 6)])
def test_a_pass_may_have_no_pixels(size: tuple[int, int], count: int, tmp_path: Path) -> None:
    """Of 5x3 the passes are 1x1, 1x1, none, 1x1, 3x1, 2x2 and 5x1 pixels."""
    path = tmp_path / "a.png"
    path.write_bytes(png(size, 8, 0, bytes(count), interlaced=True))
    assert complaint(path) == ""
    path.write_bytes(png(size, 8, 0, bytes(count - 1), interlaced=True))
    assert complaint(path)


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255)])
def test_what_is_black_or_white_by_intent_is_whole(
    colour: tuple[int, int, int], tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (50, 40), colour).save(path)
    assert read_picture(path).note == ""


def test_little_is_decompressed_at_once() -> None:
    """100 MB of zeros in 100 kB behind a header of 2000 x 2000 pixels."""
    content = png((2000, 2000), 8, 2, bytes(100_000_000))
    tracemalloc.start()
    assert not lacks_data(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
