"""Reading and writing videos with OpenCV."""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.data.file_kinds import HEAD
from unidet.errors import UserError, other_kind, text_or_zeros
from unidet.store.disk import whole_file

_CODECS = {".avi": "MJPG"}
_CODEC = "mp4v"
_RATE = 25.0  # frames per second, if the file contains neither the rate nor times
_ZEROS = bytes(512)
_WITHOUT_ZEROS = (
    *(b"MJPG", b"FMP4", b"MP4V", b"XVID", b"DIVX", b"AVC1", b"H264", b"HEVC", b"HVC1", b"HEV1"),
    *(b"VP80", b"VP90", b"AV01"),
)
"""Codecs, as OpenCV calls them, whose frames have no long stretch of zeros."""
_PADDING = (b"JUNK", b"free", b"skip", b"\xec")
_NAMED = 64
"""So near before its zeros is what a container calls a piece of padding."""
_NEAR = 0.1  # of the rate: a header this far from the mean of the frames' times is taken


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


def read_frames(path: Path) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 RGB, rotated by the metadata of the video.

    Raises:
        UserError: it is not a video that OpenCV reads, or has no frames.
    """
    count = 0
    with _opened(path) as capture:
        while (grabbed := capture.read())[0]:
            count += 1
            yield np.ascontiguousarray(grabbed[1][:, :, ::-1])
    _require_opened(path, count > 0)


def damage_note(path: Path, count: int) -> str:
    """What is wrong with a video of which so many frames could be read; empty if nothing is.

    Headers may be inexact, so a difference of one frame or 2 % is ignored, unless the file has a
    stretch of zeros, as a copy that was broken off and resumed has.
    """
    frames = film_of(path).frames
    lost = frames - count
    if lost > max(1, frames // 50):
        return f"breaks off: {count} of the {frames} frames that its header names could be read"
    holed = _holed_frames(path)
    if not holed and lost > 0 and _has_zeros(path):
        holed = lost
    if not holed:
        return ""
    what = "1 frame is" if holed == 1 else f"{holed} frames are"
    return (
        f"has stretches of zeros, as a copy that is not whole: {what} lost or not what was filmed; "
        "copy it again"
    )


def _holed_frames(path: Path) -> int:
    """How many compressed frames hold a stretch of zeros, which no encoder of these writes; what
    some fill frames up with at the end is none."""
    cv2 = _opencv()
    count = 0
    with _opened(path) as capture:
        code = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=False)
        if code.upper() not in _WITHOUT_ZEROS:
            return 0
        capture.set(cv2.CAP_PROP_FORMAT, -1)  # packets, not decoded
        while (grabbed := capture.read())[0]:
            packet = grabbed[1].tobytes().rstrip(b"\0")
            count += _ZEROS in packet and not (code == b"MJPG" and _may_be_flat(packet))
    return count


def _may_be_flat(frame: bytes) -> bool:
    """Whether zeros of a JPEG may be blocks of one colour: where its shortest AC codes, of zeros
    alone, end a block (ITU-T T.81, F.1.2.2), as encoders of optimal tables choose them."""
    place, firsts = 0, list[int]()
    while (place := frame.find(b"\xff\xc4", place)) >= 0:
        end = place + 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
        table = place + 4
        while table + 17 < end:
            symbols = sum(frame[table + 1 : table + 17])
            firsts += [frame[table + 17]] * (frame[table] >> 4)
            table += 17 + symbols
        place += 2
    return firsts != [] and not any(firsts)


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
    capture = cv2.VideoCapture(str(path))
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
