"""Images by row, from a folder or from one packed array."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageOps

from unidet.data.pillow_files import (
    faults_named,
    is_turned,
    opened,
    orientation,
    stored_size,
    upright_size,
)
from unidet.data.seen import Remark, is_deep, remark_on, require_mode, to_rgb
from unidet.errors import UserError
from unidet.formats.findings import Finding
from unidet.records import Split
from unidet.store.arrays import load_array, malformed
from unidet.store.hashing import sha256_file

_CHUNK = 16


class OtherSize(UserError):
    """The size of an image differs from that in its annotations."""


class Images(Protocol):
    """N images by row."""

    def __len__(self) -> int: ...

    def name(self, row: int) -> str:
        """Name of the image in messages."""

    def read(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""


class FolderImages:
    """Image files below one folder, rotated by their EXIF orientation as in mmcv.

    With `digests`, (N, 32) uint8 sha256 of each file, an image that has changed is not read, since
    results would be stored under the digest of the old one.
    """

    def __init__(
        self, root: Path, file_names: Sequence[str], digests: np.ndarray | None = None
    ) -> None:
        self.root = Path(root)
        self.file_names = file_names
        self.digests = digests

    def __len__(self) -> int:
        return len(self.file_names)

    def name(self, row: int) -> str:
        return str(self.root / self.file_names[row])

    def read(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB; UserError naming the file: missing, damaged or changed."""
        pixels = read_image(self.root / self.file_names[row])
        self._require_unchanged(row)
        return pixels

    def read_remarked(self, row: int) -> tuple[np.ndarray, Remark]:
        """`read`, and what the pixels do not show of the file: to be said once, not every epoch."""
        read = _read_remarked(self.root / self.file_names[row])
        self._require_unchanged(row)
        return read

    def _require_unchanged(self, row: int) -> None:
        path = self.root / self.file_names[row]
        if self.digests is not None and sha256_file(path) != self.digests[row].tobytes().hex():
            raise UserError(f"{path}: has changed since stage data read it; run the command again")

    def turned(self, row: int) -> str:
        """Effect of the EXIF orientation, as part of a message; empty if there is none."""
        return turned(self.root / self.file_names[row])


class PackedImages:
    """Images of one size in a `.npy` file, (N, H, W, 3) uint8 RGB, mapped into memory when read."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    @cached_property
    def _pixels(self) -> np.ndarray:
        with faults_named(self.path):
            pixels = load_array(self.path, "u", (None, None, None, 3), mapped=True)
        if pixels.dtype != np.uint8:
            malformed(self.path, f"images of type {pixels.dtype}")
        return pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def name(self, row: int) -> str:
        return f"{self.path}[{row}]"

    def read(self, row: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB, a view of the file."""
        return self._pixels[row]


def turned(path: Path) -> str:
    """As `FolderImages.turned`, of a file."""
    with Image.open(path) as image:
        if not is_turned(image):
            return ""
        width, height = stored_size(image)
        turn = orientation(image)
    return f" (stored as {width}x{height}, turned upright by its EXIF orientation {turn})"


def read_image(path: Path) -> np.ndarray:
    """Read an image file as (H, W, 3) uint8 RGB, upright, with transparent parts on white.

    `detect` does the same (pictures/decode.py). mmcv drops the alpha channel, which COCO's images
    do not have.

    Raises:
        UserError: the file is missing, truncated, not an image, of a format that this Pillow does
            not read, has more than 16 bits per channel or more pixels than Pillow decodes.
    """
    with opened(path) as file:
        return _upright_pixels(path, file)


def _read_remarked(path: Path) -> tuple[np.ndarray, Remark]:
    """`read_image`, and what the pixels do not show of the file."""
    with opened(path) as file:
        was_deep = is_deep(file)
        pixels = _upright_pixels(path, file)
        return pixels, remark_on(file, pixels, was_deep)


def _upright_pixels(path: Path, file: Image.Image) -> np.ndarray:
    upright = orientation(file) in (None, 1)
    image = file if upright else ImageOps.exif_transpose(file)
    return np.asarray(to_rgb(str(path), image))


def require_readable(path: Path) -> None:
    """UserError where `read_image` would refuse an image for what its header says."""
    with opened(path) as file:
        require_mode(str(path), file)


def read_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file in pixels, upright, from its header; errors as above."""
    return read_size_and_turn(path)[0]


def read_size_and_turn(path: Path) -> tuple[tuple[int, int], bool]:
    """`read_size`, and whether EXIF turns or mirrors the stored image."""
    with opened(path) as file:
        return upright_size(file), orientation(file) not in (None, 1)


def check_images(
    images: FolderImages,
    split: Split,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Finding]:
    """Raise the first error of `image_faults`, which has the same arguments; else its remarks."""
    remarks: dict[str, Finding] = {}
    for _, fault in image_faults(images, split, remarks, threads=threads, progress=progress):
        raise fault
    return remarks


def image_faults(
    images: FolderImages,
    split: Split,
    remarks: dict[str, Finding],
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[tuple[int, UserError]]:
    """Decode all images and compare their sizes with those of the split.

    Reading only the headers would not find truncated images.

    Args:
        remarks: what images do not show of their files is put here.
        threads: number of decoding threads; by default the number of CPUs of this process.
        progress: called with the number of decoded images and the total.

    Yields:
        Row and error, in row order: damaged, or of another size (`OtherSize`).
    """

    def check(first: int) -> tuple[range, list[UserError | str]]:
        rows = range(first, min(first + _CHUNK, len(split)))
        return rows, [_checked(images, split, row) for row in rows]

    with ThreadPoolExecutor(threads or len(os.sched_getaffinity(0))) as pool:
        for rows, found in pool.map(check, range(0, len(split), _CHUNK)):
            for row, what in zip(rows, found, strict=True):
                if isinstance(what, UserError):
                    yield row, what
                elif what:
                    known = remarks.get(what, Finding(0, images.file_names[row]))
                    remarks[what] = Finding(known.count + 1, known.first)
            progress(rows.stop, len(split))


def _checked(images: FolderImages, split: Split, row: int) -> UserError | str:
    """What is wrong with an image, or a remark on it, which may be empty."""
    try:
        pixels, remark = images.read_remarked(row)
        _check_size(images, split, row, pixels)
    except UserError as fault:
        return fault
    return remark.kind


def _check_size(images: FolderImages, split: Split, row: int, pixels: np.ndarray) -> None:
    height, width, _ = pixels.shape
    annotated = f"{split.widths[row]}x{split.heights[row]}"
    if f"{width}x{height}" != annotated:
        raise OtherSize(
            f"{images.name(row)}: is {width}x{height} pixels{images.turned(row)}, "
            f"its annotations (image id {split.image_ids[row]}) say {annotated}"
        )
