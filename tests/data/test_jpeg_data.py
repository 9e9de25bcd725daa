"""JPEGs whose data end before their picture does."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unidet.data.jpeg_data import lacks_data, looks_filled

KINDS: list[dict[str, Any]] = [
    {},
    {"subsampling": 0},
    {"subsampling": 1},
    {"optimize": True},
    {"mode": "L"},
    {"mode": "CMYK"},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1, "subsampling": 0},
    {"size": (1, 1)},
    {"size": (131, 77)},
    {"size": (17, 400), "subsampling": 1},
]


def encoded(size: tuple[int, int] = (160, 128), mode: str = "RGB", **options: Any) -> bytes:
    """Noise, of which no block is grey all over."""
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(stream, "JPEG", quality=80, **options)
    return stream.getvalue()


def scan_of(content: bytes | bytearray) -> int:
    """Where the data begin, behind the header of the scan."""
    marker = content.index(b"\xff\xda")
    return marker + 2 + int.from_bytes(content[marker + 2 : marker + 4], "big")


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_a_whole_picture_is_not_complained_of(options: dict[str, Any]) -> None:
    content = encoded(**options)
    assert not lacks_data(content)
    assert not lacks_data(content[:-2] + bytes(300) + content[-2:]), "cameras leave such"
    assert not lacks_data(content + b"a thumbnail, a sound")


@pytest.mark.parametrize("options", [*KINDS[:-3], {"progressive": True}], ids=str)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97])
def test_data_that_end_early_are_found(options: dict[str, Any], kept: float) -> None:
    content = encoded(**options)
    start = scan_of(content)
    cut = content[: start + int(kept * (len(content) - start))].rstrip(b"\xff")
    assert lacks_data(cut + b"\xff\xd9")


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"mode": "L"}])
def test_a_corner_of_what_is_filled_is_suspected(options: dict[str, Any], tmp_path: Path) -> None:
    content = encoded(**options)
    (tmp_path / "x.jpg").write_bytes(content[: len(content) // 2] + b"\xff\xd9")
    with Image.open(tmp_path / "x.jpg") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert looks_filled(pixels)
    assert looks_filled(np.rot90(pixels))


@pytest.mark.parametrize("options", [{"restart_marker_rows": 1}, {"restart_marker_blocks": 2}])
def test_a_lost_part_between_two_restarts_is_found(options: dict[str, Any]) -> None:
    content = bytearray(encoded(**options, subsampling=0))
    starts = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)]
    content[starts[3] + 4 : starts[4]] = b""
    assert lacks_data(bytes(content))


@pytest.mark.parametrize("flat", [True, False])
def test_zeros_inside_are_found(flat: bool) -> None:
    """As a disk or a download leaves them that lost blocks of a file: more blocks are read from
    them than of noise, and less than of flat colours."""
    if flat:
        image = Image.linear_gradient("L").resize((640, 480))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=95)
        content = bytearray(stream.getvalue())
    else:
        content = bytearray(encoded())
    start = scan_of(content)
    part = (len(content) - start) // 3
    assert part > 600
    content[start + part : start + 2 * part] = bytes(part)
    assert lacks_data(bytes(content))


def test_of_other_files_nothing_is_known() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (9, 9)).save(stream, "PNG")
    assert not lacks_data(stream.getvalue())
    assert not lacks_data(b"")


def test_few_pictures_are_suspected() -> None:
    assert not looks_filled(np.zeros((4, 5, 3), np.uint8))
    assert looks_filled(np.full((1, 1, 3), 128, np.uint8))
    assert not looks_filled(np.full((4, 5, 3), (128, 128, 127), np.uint8))
