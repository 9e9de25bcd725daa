"""Reading and writing videos with OpenCV."""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np

from unidet.counts import counted
from unidet.data.jpeg_data import lacks_data
from unidet.errors import HEAD, UserError, other_kind, text_or_zeros
from unidet.store.disk import whole_file

_CODECS = {".avi": "MJPG"}
_CODEC = "mp4v"
_RATE = 25.0  # frames per second, if the file contains neither the rate nor times
_ZEROS = bytes(512)
_MOTION_JPEG = b"MJPG"
_WITHOUT_ZEROS = (
    *(_MOTION_JPEG, b"FMP4", b"MP4V", b"XVID", b"DIVX", b"AVC1", b"H264", b"HEVC", b"HVC1"),
    *(b"HEV1", b"VP80", b"VP90", b"AV01"),
)
"""Codecs, as OpenCV calls them, whose frames have no long stretch of zeros."""
_PADDING = (b"JUNK", b"free", b"skip", b"\xec")
_NAMED = 64
"""So near before its zeros is what a container calls a piece of padding."""
_NEAR = 0.1  # of the rate: a header this far from the mean of the frames' times is taken
_LOST = 10_000  # most frames in a row that are tried: some headers name billions


@dataclass(frozen=True)
class Film:
    """The header of a video; `frames` is 0 if unknown, and may be inexact."""

    size_hw: tuple[int, int]
    frames: int


def film_of(path: Path) -> Film:
    """The header of a video.

    Raises:
        UserError: the file is missing or is not a video that OpenCV reads.
    """
    cv2 = _opencv()
    with _opened(path) as capture:
        height, width = (
            int(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
        )
        frames = max(0, int(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        return Film((height, width), frames)


def frame_rate(path: Path) -> float:
    """Frames per second: what the header says, or the mean over the frames' times where that is
    another. Browsers' and screen recorders name no rate, which FFmpeg then guesses (1000, 120).

    Raises:
        UserError: as `film_of`.
    """
    cv2 = _opencv()
    with _opened(path) as capture:
        named = capture.get(cv2.CAP_PROP_FPS)
        capture.set(cv2.CAP_PROP_FORMAT, -1)  # packets, not decoded, in the order of decoding
        times = []
        while capture.grab():
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    seconds = (max(times) - min(times)) / 1000 if times else 0.0
    mean = (len(times) - 1) / seconds if seconds > 0 else 0.0
    plausible = [rate for rate in (mean, named) if 0 < rate < 1000]
    if not plausible:
        return _RATE
    return named if abs(named - mean) <= _NEAR * named else plausible[0]


def read_frames(path: Path) -> Iterator[np.ndarray | None]:
    """Frames (H, W, 3) uint8 RGB, rotated by the metadata of the video.

    OpenCV reports the end and a damaged frame alike, so reading goes on up to the number of frames
    that the header names. None stands for a frame that cannot be decoded, if one after it can.

    Raises:
        UserError: it is not a video that OpenCV reads, or has no frames.
    """
    frames = film_of(path).frames
    count = lost = 0
    with _opened(path) as capture:
        while lost < min(_LOST, max(1, frames - count)):
            grabbed, frame = capture.read()
            if not grabbed:
                lost += 1
                continue
            yield from repeat(None, lost)
            count, lost = count + lost + 1, 0
            yield np.ascontiguousarray(frame[:, :, ::-1])
    _require_opened(path, count > 0)


def damage_note(path: Path, count: int, lost: Sequence[int] = ()) -> str:
    """What is wrong with a video of which frames were read; empty if nothing is.

    Headers may be inexact, so a difference of one frame or 2 % at the end is ignored, unless the
    file has a stretch of zeros, as a copy that was broken off and resumed has.

    Args:
        count: number of the last frame that was read.
        lost: numbers of the frames before it that could not be decoded.
    """
    frames = film_of(path).frames
    damaged = ""
    if lost:
        some = f"frame {lost[0]}" if len(lost) == 1 else f"{len(lost)} frames from {lost[0]} on"
        damaged = f"is damaged: {some} cannot be decoded; the others are read"
    if frames - count > max(1, frames // 50):
        read = f"{count - len(lost)} of the {frames} frames that its header names could be read"
        return "; ".join(filter(None, (damaged, f"breaks off: {read}")))
    return damaged or _zeros_note(path, frames - count)


def _zeros_note(path: Path, missing: int) -> str:
    holed = _holed_frames(path)
    if not holed and missing > 0 and _has_zeros(path):
        holed = missing
    if not holed:
        return ""
    what = counted(holed, "frame is", "frames are")
    return (
        f"has stretches of zeros, as a copy that is not whole: {what} lost or not what was filmed; "
        "copy it again"
    )


def _holed_frames(path: Path) -> int:
    """Number of compressed frames with a stretch of zeros, which no encoder of these codecs writes
    but as padding at the end. The data of Motion JPEG may have one, and are decoded instead."""
    cv2 = _opencv()
    count = 0
    with _opened(path) as capture:
        code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False)
        if code.upper() not in _WITHOUT_ZEROS:
            return 0
        capture.set(cv2.CAP_PROP_FORMAT, -1)  # packets, not decoded
        while (grabbed := capture.read())[0]:
            packet = grabbed[1].tobytes()
            holed = _ZEROS in packet.rstrip(b"\0")
            count += holed and (code.upper() != _MOTION_JPEG or lacks_data(packet))
    return count


def _has_zeros(path: Path) -> bool:
    """Whether a file has a stretch of zeros before its end that is no padding of the container."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        start = mapped.find(_ZEROS)
        while start >= 0:
            if not any(name in mapped[max(0, start - _NAMED) : start] for name in _PADDING):
                return True
            behind = re.compile(b"[^\0]").search(mapped, start)
            start = mapped.find(_ZEROS, behind.start()) if behind else -1
    return False


def video_name(name: str) -> str:
    """The name of a drawn video: .avi stays .avi (Motion JPEG), everything else becomes .mp4."""
    place = Path(name)
    return name if place.suffix.lower() in (*_CODECS, ".mp4") else str(place.with_suffix(".mp4"))


@contextmanager
def video_file(path: Path, rate: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Yield a function that appends (H, W, 3) uint8 RGB frames of one size to a video.

    The file appears when it is complete. OpenCV does not report a full disk, so the written frames
    are counted.

    Raises:
        UserError: OpenCV cannot write this size, or the file cannot be written completely.
    """
    cv2 = _opencv()
    count = 0
    code = cv2.VideoWriter.fourcc(*_CODECS.get(path.suffix.lower(), _CODEC))
    writer: Any = None
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
    """The number of readable frames; 0 if it is not a video."""
    count = 0
    with suppress(UserError), _opened(path) as capture:
        while capture.grab():
            count += 1
    return count


def _opencv() -> Any:
    """OpenCV, with FFmpeg's messages switched off: of a damaged video it writes a line per block.
    It looks at this when the first video is read or written."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    import cv2

    return cv2


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a video with rotation enabled, which OpenCV 4.11 does not do by default."""
    cv2 = _opencv()
    # By FFmpeg alone: the reader of AVI that OpenCV tries next prints bytes of a damaged file raw.
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        _require_opened(path, capture.isOpened())
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 1)
        yield capture
    finally:
        capture.release()


def _require_opened(path: Path, opened: bool) -> None:
    if not opened:
        raise UserError(f"{path}: {_no_video(path) if path.is_file() else 'no such file'}")


def _no_video(path: Path) -> str:
    """Why OpenCV does not open a file."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if reason := other_kind(head) or text_or_zeros(head):
        return reason
    if head[4:8] == b"ftyp" and not _has_index(path):
        return "is cut short: it has no index (moov), which stands at its end; copy or record again"
    return "is no video that OpenCV reads"


def _has_index(path: Path) -> bool:
    """Whether an MP4 has its box `moov`, without which it cannot be decoded (ISO 14496-12, 8.1)."""
    end = path.stat().st_size
    with path.open("rb") as file:
        place = 0
        while place + 8 <= end:
            file.seek(place)
            size, kind = struct.unpack(">I4s", file.read(8))
            if size == 1:  # of 64 bits, behind the kind
                size = int.from_bytes(file.read(8), "big")
            if kind == b"moov" and place + size <= end:
                return True
            if size < 8:  # 0: up to the end
                return False
            place += size
    return False
