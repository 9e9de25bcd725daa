"""Whether the data of a JPEG end before its picture does, which Pillow and OpenCV do not tell."""

from __future__ import annotations

import numpy as np
import simplejpeg

_FILLED = 128  # what libjpeg gives blocks without data, in all channels
_LACKING = ("premature end", "bad huffman code")
"""In libjpeg's warnings: the rest of the picture is filled, or garbled."""
_LEFT_OVER = "extraneous bytes"
"""In its warnings: data behind the picture, which cameras leave, or zeros read as data make."""
_ZEROS = bytes(512)
_END = b"\xff\xd9"


def looks_filled(pixels: np.ndarray) -> bool:
    """Whether a corner of decoded pixels (H, W, 3), turned or not, may be one that lacked data."""
    corners = pixels[np.ix_((0, -1), (0, -1))]
    return bool((corners == _FILLED).all(-1).any())


def lacks_data(content: bytes) -> bool:
    """Whether the data of a JPEG end, or make no sense, before the picture is complete.

    False for what libjpeg does not decode at all: other files, more than 8 bits.
    """
    try:
        # the smallest scale: all data are read, and only an eighth of each side is kept
        simplejpeg.decode_jpeg(content, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as warning:
        text = str(warning).lower()
        zeros = _LEFT_OVER in text and _ZEROS in content.removesuffix(_END).rstrip(b"\0")
        return zeros or any(part in text for part in _LACKING)
    return False
