"""TIFF files that Pillow opens and then shows otherwise than they mean.

Tags: TIFF 6.0 (Adobe, 1992); DNG 1.7 for its own. Each case was compared with tifffile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL.TiffImagePlugin import ImageFileDirectory_v2, TiffImageFile

from unidet.errors import UserError

_SUBFILE_TYPE, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 258, 259, 262
_SAMPLES, _PLANES, _SAMPLE_FORMAT, _DNG_VERSION = 277, 284, 339, 50706
_WIDTH, _LENGTH, _STRIP_OFFSETS, _STRIP_LENGTH = 256, 257, 273, 278
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS = 322, 323, 324
_LAYOUT = (
    *(_SUBFILE_TYPE, _WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES),
    *(_STRIP_LENGTH, _PLANES, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _SAMPLE_FORMAT),
)
_IS_PREVIEW = 1  # a bit of NewSubfileType
_WHITE_IS_ZERO, _SENSOR = 0, (32803, 34892)
_SEPARATE = 2
_SIGNED = 2
_NUMBERS = {1: "unsigned", 2: "signed", 3: "floating-point", 6: "complex"}
_CONVERT = "; convert it to 8-bit JPEG or PNG"
_BROKEN = (OSError, SyntaxError, ValueError, KeyError, IndexError, TypeError)


def require_as_meant(path: Path, image: TiffImageFile) -> None:
    """UserError if the page that Pillow would decode is not the image, or comes out wrong."""
    tags = image.tag_v2
    _require_numbers(path, tags)
    if tags.get(_DNG_VERSION) or tags.get(_PHOTOMETRIC) in _SENSOR:
        raise UserError(
            f"{path}: is a camera's raw image (DNG), of which only a preview could be read"
            f"{_CONVERT}"
        )
    if int(tags.get(_SUBFILE_TYPE) or 0) & _IS_PREVIEW:
        raise UserError(
            f"{path}: its first page, of {image.width}x{image.height}, is a preview of the image "
            f"and not the image itself{_CONVERT}"
        )
    _require_all_pieces(path, tags)
    bits = max(tags.get(_BITS) or (1,))
    deep = bits > 8
    if deep and tags.get(_PLANES) == _SEPARATE and tags.get(_SAMPLES, 1) > 1:
        raise UserError(
            f"{path}: keeps its channels of more than 8 bits in separate planes, which Pillow "
            f"mixes up{_CONVERT}"
        )
    if bits <= 16 and _SIGNED in (tags.get(_SAMPLE_FORMAT) or ()):
        raise UserError(
            f"{path}: its numbers are signed, of which no one says where white is{_CONVERT}"
        )
    if deep and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        raise UserError(
            f"{path}: its 0 is white, which Pillow does not heed at more than 8 bits: it would be "
            f"a negative{_CONVERT}"
        )


def _require_numbers(path: Path, tags: Mapping[int, Any]) -> None:
    """UserError where a tag of the layout holds anything but whole numbers, which Pillow takes."""
    for tag in _LAYOUT:
        value = tags.get(tag, 0)
        if {*map(type, value if isinstance(value, tuple) else (value,))} - {int}:
            raise UserError(f"{path}: is damaged: its tag {tag} is {value!r:.40}; replace it")


def _require_all_pieces(path: Path, tags: Mapping[int, Any]) -> None:
    """UserError where strips or tiles are missing, which Pillow would show as black."""
    width, length = tags[_WIDTH], tags[_LENGTH]
    if _TILE_OFFSETS in tags:
        pieces, sides = tags[_TILE_OFFSETS], (tags.get(_TILE_WIDTH, 0), tags.get(_TILE_LENGTH, 0))
    else:
        pieces, sides = tags.get(_STRIP_OFFSETS, ()), (width, tags.get(_STRIP_LENGTH, length))
    if min(sides) < 1:
        raise UserError(f"{path}: is damaged: its pieces are of {sides[0]}x{sides[1]}; replace it")
    planes = tags.get(_SAMPLES, 1) if tags.get(_PLANES) == _SEPARATE else 1
    wanted = math.ceil(width / sides[0]) * math.ceil(length / sides[1]) * planes
    if len(pieces) < wanted:
        raise UserError(
            f"{path}: is damaged: of its {wanted} pieces it names {len(pieces)}; replace it"
        )


def layout(path: Path) -> str:
    """How the first page keeps its pixels, as part of a message; empty if that cannot be read.

    Raises:
        UserError: its layout is none.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
            tags = ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
        _require_numbers(path, tags)
        return _told(tags)
    except _BROKEN:
        return ""


def _told(tags: Mapping[int, Any]) -> str:
    bits, numbers = tags[_BITS], tags.get(_SAMPLE_FORMAT) or (1,)
    samples = tags.get(_SAMPLES, len(bits))
    channels = "1 channel" if samples == 1 else f"{samples} channels"
    kind = _NUMBERS.get(numbers[0], "other")
    return f"{channels} of {max(bits)}-bit {kind} numbers, compression {tags.get(_COMPRESSION, 1)}"
