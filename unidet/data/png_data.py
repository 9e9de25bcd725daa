"""Whether the data of a PNG end before its picture does, which Pillow does not tell."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

_SIGNATURE = 8
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of the colour types (PNG specification, table 11.1)."""
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
"""First column and row, and steps, of the pixels of each pass (section 8.2, Adam7)."""
_PIECE = 1 << 20  # bytes that are decompressed at once


def may_lack_data(file: Image.Image, pixels: np.ndarray) -> bool:
    """Whether decoded pixels (H, W, 3) may be ones that lacked data: black, or transparent.

    Cheap, so that few files are read twice. What a palette's first colour is, nobody knows.
    """
    corners = pixels[np.ix_((0, -1), (0, -1))]
    looks_empty = ((corners == 0) | (corners == 255)).all(-1).any()
    return bool(looks_empty) or file.mode == "P" or "interlace" in file.info


def lacks_data(content: bytes) -> bool:
    """Whether the decompressed data of a PNG that Pillow has decoded are fewer than it needs."""
    missing = 0
    inflate = zlib.decompressobj()
    for kind, data in _chunks(content):
        if kind == b"IHDR":
            missing = _data_size(*struct.unpack_from(">IIBBxxB", data))
        while kind == b"IDAT" and data and missing > 0:
            missing -= len(inflate.decompress(data, _PIECE))
            data = inflate.unconsumed_tail
    return missing > 0


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Types and data of the chunks (section 5.3); checksums are left to Pillow."""
    place = _SIGNATURE
    while place + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, place)
        yield kind, content[place + 8 : place + 8 + length]
        place += length + 12


def _data_size(width: int, height: int, depth: int, colours: int, interlace: int) -> int:
    """Bytes of all rows, each with its filter type (section 9.2)."""
    bits = depth * _CHANNELS[colours]
    total = 0
    for left, top, across, down in _PASSES if interlace else ((0, 0, 1, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0:
            total += max(rows, 0) * (1 + -(-columns * bits // 8))
    return total
