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
    CONVERTED,
    as_seen,
    faults_named,
    is_transparent,
    orientation,
    require_as_meant,
    upright_size,
)
from unidet.errors import UserError
from unidet.store.hashing import require_end

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
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_DARK = 64
"""Below it 16 bits, scaled to 8, have held fewer, as of cameras of 12 or 14 bits."""
_NARROW = 32
"""Fewer levels of 255 than this, as of thermal cameras, show a network little of what is there."""
_STRIP = 256  # rows that are converted at once
_AVIF = b"ftypavi"
_BRANDS = (_AVIF, b"ftyphe", b"ftypmif1", b"ftypmsf1")
_ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")


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
        is_deep = _is_deep(file)
        width, height = upright_size(file)
        reduced = _divisor(width * height, most)
        if isinstance(file, JpegImageFile):
            file.draft(None, (file.width // reduced, file.height // reduced))
        file.load()
        pixels = image_pixels(file, str(path), most)
        return Picture(pixels, (height, width), _note(file, pixels, is_deep))


def image_pixels(image: Image.Image, name: str, most: int = DRAWN_PIXELS) -> np.ndarray:
    """(H, W, 3) uint8 RGB of a Pillow image, converted as by `read_picture`.

    Raises:
        UserError: the mode is ambiguous; the message calls the image `name`.
    """
    turn = orientation(image)
    rgb = _to_rgb(name, _halved(image, most))
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
    if image.mode in _SIXTEEN_BITS:
        image = image.convert("I")
    return image.reduce(part)


def _to_rgb(name: str, image: Image.Image) -> Image.Image:
    """Convert to RGB with 8 bits per channel."""
    if image.mode in _SIXTEEN_BITS or image.mode == "I":
        return _from_sixteen_bits(name, image)
    if image.mode not in CONVERTED:
        raise UserError(
            f"{name}: its pixels are of mode {image.mode}, which has no one meaning as colours; "
            "convert it to 8-bit RGB"
        )
    return as_seen(image)


def _from_sixteen_bits(name: str, image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
        raise UserError(f"{name}: its pixels are of more than 16 bits; convert it to 8-bit RGB")
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")


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


def _is_deep(file: Image.Image) -> bool:
    """Whether an opened file, not decoded yet, has 16 bits a channel; Pillow may keep 8."""
    raw = any("16" in str(tile[3]) for tile in getattr(file, "tile", ()))
    return raw or file.mode in (*_SIXTEEN_BITS, "I")


def _note(file: Image.Image, pixels: np.ndarray, is_deep: bool) -> str:
    if file.format in _ANIMATED and getattr(file, "is_animated", False):
        pages = "pages" if file.format == "TIFF" else "frames"
        return f"has several {pages}; the first is read"
    if is_transparent(file) and pixels.min(initial=255) == 255 and _is_invisible(file):
        return "is transparent all over, so the network sees it white; save it without alpha"
    return _depth_note(pixels) if is_deep and pixels.size else ""


def _depth_note(pixels: np.ndarray) -> str:
    """That little is left of the 16 bits a channel that the pixels had."""
    least, most = int(pixels.min()), int(pixels.max())
    if most >= _DARK and most - least >= _NARROW:
        return ""
    dark, flat = f"its brightest pixel is {most}", f"its pixels are {least} to {most}"
    what, sight = (dark, "nearly black") if most < _DARK else (flat, "nearly uniform")
    return (
        f"{what} of 255 once its 16 bits are scaled to 8, so the network sees it {sight}; scale it "
        "to 8 bits yourself"
    )


def _is_invisible(file: Image.Image) -> bool:
    return file.convert("RGBA").getchannel("A").getextrema() == (0, 0)
