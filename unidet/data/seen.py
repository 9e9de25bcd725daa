"""Image files as networks see them: RGB of 8 bits, and what is left of a file that holds more."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from unidet.data import jpeg_data, png_data
from unidet.data.pillow_files import CONVERTED, as_seen, is_transparent
from unidet.errors import UserError

SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_DARK = 64
"""Below it 16 bits, scaled to 8, have held fewer, as of cameras of 12 or 14 bits."""
_NARROW = 32
"""Fewer levels of 255 than this, as of thermal cameras, show a network little of what is there."""
_JPEG = ("JPEG", "MPO")
_ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")


class Remark(NamedTuple):
    """What an image does not show of its file: as said of one, and of several; empty for most."""

    text: str = ""
    kind: str = ""


def require_mode(name: str, image: Image.Image) -> None:
    """UserError, which calls the image `name`, where its mode has no one meaning as colours."""
    if image.mode not in (*CONVERTED, *SIXTEEN_BITS, "I"):
        raise UserError(
            f"{name}: its pixels are of mode {image.mode}, which has no one meaning as colours; "
            "convert it to 8-bit RGB"
        )


def to_rgb(name: str, image: Image.Image) -> Image.Image:
    """A decoded image in RGB with 8 bits per channel, transparent parts on white.

    Raises:
        UserError: as `require_mode`, or more than 16 bits per channel.
    """
    require_mode(name, image)
    if image.mode in CONVERTED:
        return as_seen(image)
    values = np.asarray(image)
    if values.size and not 0 <= values.min() <= values.max() <= 0xFFFF:
        raise UserError(f"{name}: its pixels are of more than 16 bits; convert it to 8-bit RGB")
    return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")


def is_deep(file: Image.Image) -> bool:
    """Whether an opened file, not decoded yet, has 16 bits a channel; Pillow may keep 8."""
    raw = any("16" in str(tile[3]) for tile in getattr(file, "tile", ()))
    return raw or file.mode in (*SIXTEEN_BITS, "I")


def remark_on(file: Image.Image, pixels: np.ndarray, was_deep: bool) -> Remark:
    """On a decoded file, its (H, W, 3) uint8 RGB pixels, and whether `is_deep` held of it."""
    if file.format in _ANIMATED and getattr(file, "is_animated", False):
        pages = "pages" if file.format == "TIFF" else "frames"
        return Remark(
            f"has several {pages}; the first is read",
            f"image with several {pages}: the first is read",
        )
    if is_transparent(file) and pixels.min(initial=255) == 255 and _is_invisible(file):
        return Remark(
            "is transparent all over, so the network sees it white; save it without alpha",
            "image that is transparent all over, which the network sees white: save it without "
            "alpha",
        )
    if _lacks_data(file, pixels):
        rest = "black" if file.format == "PNG" else "grey or noise"
        return Remark(
            f"is damaged: its data do not make a whole picture, the rest is {rest}; replace it",
            f"image that is damaged, and {rest} in part: replace it",
        )
    return _on_depth(pixels) if was_deep and pixels.size else Remark()


def _lacks_data(file: Image.Image, pixels: np.ndarray) -> bool:
    if file.format in _JPEG:
        return jpeg_data.looks_filled(pixels) and jpeg_data.lacks_data(_content(file))
    if file.format == "PNG":
        return png_data.may_lack_data(file, pixels) and png_data.lacks_data(_content(file))
    return False


def _content(file: Image.Image) -> bytes:
    return Path(file.filename).read_bytes()  # type: ignore[attr-defined]  # of ImageFile


def _on_depth(pixels: np.ndarray) -> Remark:
    """That little is left of the 16 bits a channel that the pixels had."""
    least, most = int(pixels.min()), int(pixels.max())
    if most >= _DARK and most - least >= _NARROW:
        return Remark()
    dark, flat = f"its brightest pixel is {most}", f"its pixels are {least} to {most}"
    what, sight = (dark, "nearly black") if most < _DARK else (flat, "nearly uniform")
    return Remark(
        f"{what} of 255 once its 16 bits are scaled to 8, so the network sees it {sight}; scale it "
        "to 8 bits yourself",
        f"image that the network sees {sight}, once its 16 bits are scaled to 8: scale it yourself",
    )


def _is_invisible(file: Image.Image) -> bool:
    return file.convert("RGBA").getchannel("A").getextrema() == (0, 0)
