"""TIFF files whose pixels Pillow would show otherwise than they mean; written tag by tag."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from unidet.data.images import read_image
from unidet.errors import UserError
from unidet.pictures.decode import read_picture


def tiff(tags: dict[int, list[int]], pixels: bytes) -> bytes:
    """A page of 16-bit numbers (TIFF 6.0, 2), little endian; long lists and pixels come last."""
    counts = {256: [2], 257: [1], 259: [1], 273: [0], 278: [1], 279: [len(pixels)], **tags}
    start = 8 + 2 + 12 * len(counts) + 4
    entries, extra = b"", b""
    places = sorted(counts)
    total = sum(2 * len(counts[tag]) for tag in places if len(counts[tag]) > 2)
    if len(counts[273]) > 1:
        step = len(pixels) // len(counts[273])
        counts[273] = [start + total + step * index for index in range(len(counts[273]))]
    else:
        counts[273] = [start + total]
    for tag in places:
        data = struct.pack(f"<{len(counts[tag])}H", *counts[tag])
        if len(data) > 4:
            entries += struct.pack("<HHII", tag, 3, len(counts[tag]), start + len(extra))
            extra += data
        else:
            entries += struct.pack("<HHI", tag, 3, len(counts[tag])) + data.ljust(4, b"\0")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(counts)) + entries + bytes(4) + extra + pixels


GREY = {258: [8], 262: [1], 277: [1]}
DEEP = {258: [16], 262: [0], 277: [1]}
PLANES = {258: [16] * 3, 262: [2], 273: [0] * 3, 277: [3], 279: [4] * 3, 284: [2]}


@pytest.mark.parametrize(
    ("tags", "pixels", "complaint"),
    [
        (GREY | {254: [1]}, b"ab", "its first page, of 2x1, is a preview of the image"),
        (GREY | {50706: [1, 4]}, b"ab", "is a camera's raw image"),
        (DEEP, b"abcd", "its 0 is white, which Pillow does not heed at more than 8 bits"),
        (DEEP | {262: [1], 339: [2]}, b"abcd", "its numbers are signed"),
        (GREY | {257: [9]}, b"ab", "is damaged: of its 9 pieces it names 1; replace it"),
        (PLANES | {273: [0], 258: [8] * 3}, bytes(6), "is damaged: of its 3 pieces it names 1"),
        (PLANES, bytes(12), "keeps its channels of more than 8 bits in separate planes"),
        (
            {258: [32] * 3, 262: [2], 277: [3], 339: [3] * 3},
            bytes(24),
            "is a TIFF or raw image of 3 channels of 32-bit floating-point numbers, compression 1,",
        ),
        (
            {258: [8] * 9, 262: [1], 277: [9]},
            bytes(18),
            "is a TIFF or raw image of 9 channels of 8-bit unsigned numbers",
        ),
    ],
)
def test_what_would_be_another_image_is_refused(
    tags: dict[int, list[int]], pixels: bytes, complaint: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(tags, pixels))
    for read in (read_picture, read_image):
        with pytest.raises(UserError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: {complaint}")


@pytest.mark.parametrize(
    ("tags", "pixels", "seen"),
    [
        (GREY, b"\x05\xff", [5, 255]),
        (GREY | {254: [0]}, b"\x05\xff", [5, 255]),
        (GREY | {262: [0]}, b"\x05\xff", [250, 0]),  # of 8 bits Pillow heeds it
    ],
)
def test_other_pages_are_read(
    tags: dict[int, list[int]], pixels: bytes, seen: list[int], tmp_path: Path
) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(tiff(tags, pixels))
    assert read_picture(path).pixels[0, :, 0].tolist() == seen
    assert (read_image(path) == read_picture(path).pixels).all()


@pytest.mark.parametrize(
    ("tag", "entry", "complaint"),
    [
        (278, (278, 2, 1, 0x61), "its tag 278 is .a.; replace it"),  # a text
        (258, (258, 2, 1, 0x61), "its tag 258 is .*a.*; replace it"),
        (278, (278, 3, 1, 0), "its pieces are of 2x0; replace it"),
        (278, (324, 3, 1, 8), "its pieces are of 0x0; replace it"),  # tiles without sides
    ],
)
def test_a_layout_that_is_none_is_damage(
    tag: int, entry: tuple[int, int, int, int], complaint: str, tmp_path: Path
) -> None:
    page = tiff(GREY, b"ab")
    place = page.index(struct.pack("<HH", tag, 3))
    path = tmp_path / "x.tif"
    path.write_bytes(page[:place] + struct.pack("<HHII", *entry) + page[place + 12 :])
    for read in (read_picture, read_image):
        with pytest.raises(UserError, match=f"is damaged: {complaint}"):
            read(path)
