"""Images by row, from a folder or from one packed array."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from unidet.errors import UserError
from unidet.records import Split

_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
_ORIENTATION, _QUARTER_TURNS = 0x0112, (5, 6, 7, 8)
_CHUNK = 64


class Images(Protocol):
    """N images by row."""

    def __len__(self) -> int: ...

    def name(self, row: int) -> str:
        """How a message calls the image."""

    def read(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""


class FolderImages:
    """Image files below one folder; upright by their EXIF orientation, as mmcv reads them."""

    def __init__(self, root: Path, file_names: Sequence[str]) -> None:
        self.root = Path(root)
        self.file_names = file_names

    def __len__(self) -> int:
        return len(self.file_names)

    def name(self, row: int) -> str:
        return str(self.root / self.file_names[row])

    def read(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; UserError naming the file where it is missing or damaged."""
        return read_image(self.root / self.file_names[row])

    def turned(self, row: int) -> str:
        """What EXIF does to the stored picture, as part of a message; empty where nothing."""
        with Image.open(self.root / self.file_names[row]) as image:
            width, height = image.size
            orientation = _orientation(image)
        if orientation not in _QUARTER_TURNS:
            return ""
        return (
            f" (stored as {width}x{height}, turned upright by its EXIF orientation {orientation})"
        )

    def size(self, row: int) -> tuple[int, int]:
        """(width, height) from the header alone; UserError as `read`."""
        path = self.root / self.file_names[row]
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = _orientation(image) in _QUARTER_TURNS
        except _DAMAGE as error:
            raise _unreadable(path, error) from None
        return (height, width) if turned else (width, height)


class PackedImages:
    """Images of one size in a `.npy` file, (N, H, W, 3) uint8 RGB, mapped into memory when read."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @cached_property
    def _pixels(self) -> np.ndarray:
        try:
            pixels = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None
        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
            raise UserError(
                f"{self.path}: {pixels.shape} {pixels.dtype}, must be (N, H, W, 3) uint8"
            )
        return pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def name(self, row: int) -> str:
        return f"{self.path}[{row}]"

    def read(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, a view of the file."""
        return self._pixels[row]


def read_image(path: Path) -> np.ndarray:
    """One image file as (H, W, 3) uint8 RGB, upright; alpha is dropped.

    Raises:
        UserError: missing, truncated or not an image, or of more than eight bits a channel.
    """
    try:
        with Image.open(path) as file:
            if file.mode.startswith(("I", "F")):
                raise UserError(f"{path}: {file.mode} pixels; convert it to 8 bits a channel")
            upright = _orientation(file) in (None, 1)
            image = file if upright else ImageOps.exif_transpose(file)
            return np.asarray(image.convert("RGB"))
    except _DAMAGE as error:
        raise _unreadable(path, error) from None


def check_images(
    images: FolderImages, split: Split, *, deep: bool = False, threads: int = 8
) -> None:
    """Compare every image's header with the split's sizes, or decode it whole where `deep`.

    Only the deep check sees an image that breaks off after its header.

    Raises:
        UserError: naming the first image, in row order, that is damaged or of another size.
    """

    def check(first: int) -> None:
        for row in range(first, min(first + _CHUNK, len(split))):
            size = images.read(row).shape[1::-1] if deep else images.size(row)
            expected = (int(split.widths[row]), int(split.heights[row]))
            if size != expected:
                raise UserError(
                    f"{images.name(row)}: is {size[0]}x{size[1]} pixels"
                    f"{images.turned(row)}, its annotations "
                    f"(image id {split.image_ids[row]}) say {expected[0]}x{expected[1]}"
                )

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(check, range(0, len(split), _CHUNK)):
            pass


def _orientation(image: Image.Image) -> int | None:
    """EXIF orientation; None where there is none or the block is damaged, which is common."""
    try:
        return image.getexif().get(_ORIENTATION)
    except _DAMAGE:
        return None


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, OSError) and error.strerror:
        return UserError(f"{path}: cannot be opened: {error.strerror}")
    damage = "truncated" if "truncated" in str(error) else "damaged or not an image"
    return UserError(f"{path}: the file is {damage}; replace it, or remove it and its annotations")
