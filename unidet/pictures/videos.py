"""Reading and writing videos with OpenCV."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unidet.errors import UserError
from unidet.store.disk import whole_file

if TYPE_CHECKING:
    import cv2

_CODECS = {".avi": "MJPG"}
_CODEC = "mp4v"
_RATE = 25.0  # frames a second, where a file does not say


@dataclass(frozen=True)
class Film:
    """The header of a video; `frames` is 0 if unknown, and may be inexact."""

    size_hw: tuple[int, int]
    rate: float
    frames: int


def film_of(path: Path) -> Film:
    """The header of a video.

    Raises:
        UserError: missing, or no video that OpenCV reads.
    """
    import cv2

    with _opened(path) as capture:
        height, width = (
            int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        )
        rate = capture.get(cv2.CAP_PROP_FPS)
        frames = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        return Film((height, width), rate if 0 < rate < 1000 else _RATE, frames)


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 RGB of each frame, turned as its metadata say.

    Raises:
        UserError: no video that OpenCV reads, or one without a frame.
    """
    count = 0
    with _opened(path) as capture:
        while (grabbed := capture.read())[0]:
            count += 1
            yield np.ascontiguousarray(grabbed[1][:, :, ::-1])
    _require_opened(path, count > 0)


def missing_frames(path: Path, count: int) -> str:
    """The message about a video of which so many frames could be read; empty if it is complete.

    Headers may be some frames off: a fiftieth, or one, is let pass.
    """
    frames = film_of(path).frames
    if frames - count <= max(1, frames // 50):
        return ""
    return f"breaks off: {count} of the {frames} frames that its header names could be read"


def video_name(name: str) -> str:
    """The name of a drawn video: .avi stays .avi (Motion JPEG), everything else becomes .mp4."""
    place = Path(name)
    return name if place.suffix.lower() in (*_CODECS, ".mp4") else str(place.with_suffix(".mp4"))


@contextmanager
def video_file(path: Path, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Takes (H, W, 3) uint8 RGB frames of one size; the video is there when it is whole.

    OpenCV says nothing of a disk that is full: what it has written is counted.

    Raises:
        UserError: a size that OpenCV cannot write, or a place where nothing, or not all, can be
            written.
    """
    import cv2

    count = 0
    code = cv2.VideoWriter.fourcc(*_CODECS.get(path.suffix.lower(), _CODEC))
    writer: cv2.VideoWriter | None = None
    with whole_file(path) as partial:

        def write(frame: np.ndarray) -> None:
            nonlocal writer, count
            height, width, _ = frame.shape
            if writer is None:
                writer = cv2.VideoWriter(str(partial), code, rate, (width, height))
                if not writer.isOpened():
                    what = f"OpenCV cannot write a video of {width}x{height}"
                    raise UserError(f"{path}: {what}, or the disk is full")
            writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
            count += 1

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
        if _readable_frames(partial) != count:
            raise UserError(f"{path}: cannot be written whole; is the disk full?")


def _readable_frames(path: Path) -> int:
    """The number of readable frames; 0 if it is no video."""
    count = 0
    with suppress(UserError), _opened(path) as capture:
        while capture.grab():
            count += 1
    return count


@contextmanager
def _opened(path: Path) -> Iterator[cv2.VideoCapture]:
    """The video, whose frames come as they are shown: OpenCV 4.11 turns none unless it is asked to.

    FFmpeg itself is kept silent: of a damaged video it writes a line for every block.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        _require_opened(path, capture.isOpened())
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    finally:
        capture.release()


def _require_opened(path: Path, opened: bool) -> None:
    if not opened:
        what = "is no video that OpenCV reads" if path.is_file() else "no such file"
        raise UserError(f"{path}: {what}")
