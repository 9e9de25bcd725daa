"""Decodes an image file of any mode and size with bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, features
from PIL.JpegImagePlugin import JpegImageFile

from unidet.data.pillow_files import (
    faults_named,
    is_transparent,
    orientation,
    require_as_meant,
    upright_size,
)
from unidet.data.seen import SIXTEEN_BITS, is_deep, remark_on, to_rgb
from unidet.errors import UserError, require_end

NETWORK_PIXELS = 12_000_000
"""Networks use at most 1,333 pixels per side, so larger images are decoded at a half, a quarter…"""
DRAWN_PIXELS = 50_000_000
"""Drawings have the full size of the image up to this number of pixels."""
WHOLE_PIXELS = 120_000_000
"""Most pixels of an image that cannot be decoded at a reduced size.

Decoding takes 4 bytes per pixel, 8 with transparency, and 6 for the coefficients of a progressive
JPEG.
"""

_ADVICE = "replace it"
_JPEG = b"\xff\xd8"
_REDUCED = (1, 2, 4, 8)  # scale divisors of a JPEG decoder
_STRIP = 256  # rows that are converted at once
_AVIF = b"ftypavi"
_BRANDS = (_AVIF, b"ftyphe", b"ftypmif1", b"ftypmsf1")


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright; a very large image is downscaled.
        size_hw: original height and width, upright.
        note: a remark for the user about how it was read; usually empty.
    """

    pixels: np.ndarray
    size_hw: tuple[int, int]
    note: str = ""


def read_picture(path: Path, most: int = DRAWN_PIXELS) -> Picture:
    """Decode a file, rotated by its EXIF orientation, with transparent parts on white.

    More than eight bits per channel are scaled to eight. Of an animation or a document with several
    pages, the first image is read. An image of more than `most` pixels is downscaled by 2, 4, ….

    Raises:
        UserError: the file is missing, damaged, not an image, of an unsupported format or mode, or
            too large.
    """
    with _opened(path) as file:
        _check_size(path, file)
        was_deep = is_deep(file)
        width, height = upright_size(file)
        reduced = _divisor(width * height, most)
        if isinstance(file, JpegImageFile):
            file.draft(None, (file.width // reduced, file.height // reduced))
        file.load()
        pixels = image_pixels(file, str(path), most)
        return Picture(pixels, (height, width), remark_on(file, pixels, was_deep).text)


def image_pixels(image: Image.Image, name: str, most: int = DRAWN_PIXELS) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a Pillow image, converted as by `read_picture`.

    Raises:
        UserError: the mode is ambiguous; the message calls the image `name`.
    """
    turn = orientation(image)
    rgb = to_rgb(name, _halved(image, most))
    if turn not in (None, 1):
        rgb = ImageOps.exif_transpose(_with_orientation(rgb, turn))
    return _pixels(rgb)


def header_size(path: Path) -> tuple[int, int]:
    """(height, width) from the file's header, without EXIF rotation; (0, 0) if it has none."""
    try:
        with _opened(path) as file:
            return file.height, file.width
    except UserError:
        return 0, 0


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file by its header. JPEG has no limit of pixels: it is decoded at reduced size."""
    with faults_named(path, _ADVICE):
        require_end(path)
        with open(path, "rb") as stream:
            head = stream.read(16)
        if head.startswith(_JPEG):
            # Image.open would refuse large files by their full size; of an MPO, the main image
            with JpegImageFile(path) as file:
                yield file
            return
        if head[4:].startswith(_BRANDS):
            _register_heif(path, head)
        try:
            file = Image.open(path)
        except Image.DecompressionBombError:
            raise _too_large(path, "has too many") from None
        with file:
            require_as_meant(path, file)
            yield file


def _register_heif(path: Path, head: bytes) -> None:
    """Register pillow-heif for HEIC, and for AVIF where Pillow was built without it."""
    if head[4:].startswith(_AVIF) and features.check("avif"):
        return
    try:
        import pillow_heif
    except ImportError:
        raise UserError(
            f"{path}: is a HEIC or AVIF image; run: pip install 'unidet[heif]', or convert it"
        ) from None
    pillow_heif.register_heif_opener()


def _check_size(path: Path, file: Image.Image) -> None:
    is_whole = not isinstance(file, JpegImageFile) or file.info.get("progressive")
    if is_whole and file.width * file.height > WHOLE_PIXELS:
        kind = "progressive JPEG" if isinstance(file, JpegImageFile) else file.format
        raise _too_large(path, f"{kind} of {file.width:,}x{file.height:,}")


def _too_large(path: Path, what: str) -> UserError:
    return UserError(
        f"{path}: {what} pixels; more than {WHOLE_PIXELS:,} are read of baseline JPEGs alone; cut "
        "it into several, or save it as one"
    )


def _divisor(pixels: int, most: int) -> int:
    """The smallest scale divisor of the JPEG decoder that gives at most `most` pixels."""
    return next((part for part in _REDUCED if pixels <= most * part * part), _REDUCED[-1])


def _halved(image: Image.Image, most: int) -> Image.Image:
    """Downscale an image that is still too large by an integer factor, averaging blocks."""
    part = math.ceil(math.sqrt(image.width * image.height / most))
    if part <= 1:
        return image
    if image.mode in ("1", "P", "PA"):
        image = image.convert("RGBA" if is_transparent(image) else "RGB")
    if image.mode in SIXTEEN_BITS:
        image = image.convert("I")
    return image.reduce(part)


def _with_orientation(image: Image.Image, turn: int) -> Image.Image:
    """The image with only this EXIF orientation, which a conversion may have lost."""
    image = image.copy() if image.readonly else image
    image.getexif()[0x0112] = turn
    return image


def _pixels(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, copied strip by strip: `numpy.asarray` needs three times the memory."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP):
        bottom = min(top + _STRIP, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels
