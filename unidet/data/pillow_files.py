"""Image files through Pillow: what it finds wrong, in words, and which of its modes are safe."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from unidet.data import file_kinds, tiff_files
from unidet.errors import HEAD, UserError, require_end

DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError),
    RuntimeError,  # of AVIF; NotImplementedError of DDS
)
CONVERTED = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"}
"""Modes that Pillow converts to 8-bit RGB without loss of range."""
_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
REPLACE = "replace it, or remove it and its annotations"
_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)  # orientations that exchange width and height

# Pillow warns of large images and odd metadata, and logs what it cannot read. That is an error
# here, in words.
warnings.filterwarnings("ignore", module=r"PIL\.")
logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextmanager
def opened(path: Path, advice: str = REPLACE) -> Iterator[Image.Image]:
    """The file by its header; what Pillow finds wrong, then or later, is a UserError.

    `advice` is what to do with a damaged file.
    """
    with faults_named(path, advice):
        require_end(path)
        with Image.open(path) as file:
            require_as_meant(path, file)
            yield file


def require_as_meant(path: Path, image: Image.Image) -> None:
    """UserError for an opened file whose pixels Pillow would show otherwise than they mean."""
    if isinstance(image, TiffImageFile):
        tiff_files.require_as_meant(path, image)


@contextmanager
def faults_named(path: Path, advice: str = REPLACE) -> Iterator[None]:
    """Around what Pillow does with a file: its errors become one line about that file."""
    try:
        yield
    except DAMAGE as error:
        raise _unreadable(path, error, advice) from None


def orientation(image: Image.Image) -> int | None:
    """EXIF orientation; None where there is none or the block is damaged, which is common.

    Of a PNG the pixels are decoded before: where they are damaged, this raises what Pillow does.
    """
    if image.format == "PNG":
        image.load()  # Pillow would do so below; its second attempt at damaged pixels is silent
    try:
        return image.getexif().get(_ORIENTATION)
    except DAMAGE:
        return None


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height in an opened file, before EXIF turns it; of a TIFF Pillow may say either."""
    if isinstance(image, TiffImageFile):
        return image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    return image.size


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height of an opened file as shown; call it before a TIFF's pixels are decoded."""
    width, height = stored_size(image)
    return (height, width) if is_turned(image) else (width, height)


def is_turned(image: Image.Image) -> bool:
    """Whether EXIF exchanges width and height."""
    return orientation(image) in _QUARTER_TURNS


def is_transparent(image: Image.Image) -> bool:
    """Whether the mode or the palette of an image knows transparent parts."""
    return image.mode in _ALPHA or "transparency" in image.info


def as_seen(image: Image.Image) -> Image.Image:
    """An image of one of the modes `CONVERTED` in RGB, its transparent parts on white: the colours
    that lie below them are seen by nobody, and differ by the program that wrote the file."""
    if is_transparent(image):
        visible = image.convert("RGBA")
        white = Image.new("RGB", visible.size, "white")
        white.paste(visible, mask=visible.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _unreadable(path: Path, error: Exception, advice: str) -> UserError:
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{path}: cannot be opened: {error.strerror}")
    if isinstance(error, Image.DecompressionBombError):
        return UserError(
            f"{path}: has more than the {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels that Pillow "
            "decodes; make it smaller, or cut it into several"
        )
    if isinstance(error, UnidentifiedImageError):
        return UserError(f"{path}: {_unidentified(path, advice)}")
    if "Ghostscript" in str(error):
        return UserError(f"{path}: is a PostScript drawing, which is not read; convert it to PNG")
    if "not available" in str(error):
        return UserError(f"{path}: this Pillow was built without its {error}; convert it to PNG")
    damage = "truncated" if "truncated" in str(error) else "damaged or not an image"
    return UserError(f"{path}: the file is {damage}; {advice}")


def _unidentified(path: Path, advice: str) -> str:
    """What a file is that no reader of Pillow's took."""
    with open(path, "rb") as stream:
        head = stream.read(HEAD)
    reason = file_kinds.no_image(head, advice)
    if "TIFF" in reason and (pixels := tiff_files.layout(path)):
        return reason.replace(" of a kind", f" of {pixels},", 1)
    return reason
