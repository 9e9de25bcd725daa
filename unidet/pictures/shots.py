"""Images and frames between a file and the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from unidet.errors import UserError
from unidet.pictures.decode import DRAWN_PIXELS, NETWORK_PIXELS, header_size, read_picture
from unidet.pictures.journal import stat_of
from unidet.pictures.read_ahead import Work
from unidet.pictures.sources import Source
from unidet.pictures.videos import damage_note, film_of, read_frames

DECODING = 7
"""Bytes per pixel while an image is decoded: 4 of Pillow and 3 of the array."""


@dataclass(frozen=True)
class Shot:
    """An image or frame on its way through the network.

    Attributes:
        number: index of the source.
        frame: counted from 1; 0 for an image.
        pixels: (H, W, 3) uint8 RGB for the network, perhaps smaller than `size_hw`; None at the end
            of a video, and after a fault.
        note, fault: remarks for the user.
        stat: `stat_of` its file before it was read; frames have none.
        lost: at the end of a video, the numbers of its frames that could not be decoded.
    """

    number: int
    frame: int = 0
    pixels: np.ndarray | None = None
    size_hw: tuple[int, int] = (0, 0)
    note: str = ""
    fault: str = ""
    stat: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()


def shots_of(sources: Sequence[Source], todo: Sequence[int]) -> Iterator[Work[Shot]]:
    """All images and frames of the sources `todo`, to be read in any thread.

    After the frames of a video follows its end, whose `frame` is the last one's.
    """
    for number in todo:
        source = sources[number]
        if source.fault:
            fault = Shot(number, fault=f"{source.path}: {source.fault}")
            yield Work(0, partial(_same, fault))
        elif source.is_video:
            yield from _frames(number, Path(source.path))
        else:
            path = Path(source.path)
            height, width = header_size(path)
            yield Work(DECODING * height * width, partial(_read, number, path))


def expected(sources: Sequence[Source], todo: Sequence[int]) -> int:
    """The number of shots, by the headers of videos."""
    return sum(_expected(sources[number]) for number in todo)


def frame_key(path: str, frame: int) -> str:
    """The key of a video frame in the journal."""
    return f"{path}#{frame}"


def _expected(source: Source) -> int:
    if source.fault or not source.is_video:
        return 1
    try:
        return film_of(Path(source.path)).frames or 1
    except UserError:  # reported when the image is read
        return 1


def _same(shot: Shot) -> Shot:
    return shot


def _fault(number: int, path: Path, error: UserError | OSError) -> Shot:
    text = str(error) if isinstance(error, UserError) else f"{path}: {error.strerror}"
    return Shot(number, fault=text)


def _read(number: int, path: Path) -> Shot:
    try:
        stat = tuple(stat_of(str(path)))
        picture = read_picture(path, NETWORK_PIXELS)
    except (UserError, OSError) as error:
        return _fault(number, path, error)
    height, width = picture.size_hw
    note = f"is drawn smaller than its {width:,}x{height:,} pixels"
    notes = [picture.note, note if height * width > DRAWN_PIXELS else ""]
    told = "; ".join(filter(None, notes))
    return Shot(number, 0, picture.pixels, picture.size_hw, told, stat=stat)


def _frames(number: int, path: Path) -> Iterator[Work[Shot]]:
    count = 0
    lost = []
    try:
        stat = tuple(stat_of(str(path)))
        for count, frame in enumerate(read_frames(path), start=1):
            if frame is None:
                lost.append(count)
                continue
            height, width, _ = frame.shape
            shot = Shot(number, count, frame, (height, width))
            yield Work(frame.nbytes, partial(_same, shot))
        note = damage_note(path, count, lost)
    except (UserError, OSError) as error:
        yield Work(0, partial(_same, _fault(number, path, error)))
        return
    yield Work(0, partial(_same, Shot(number, count, note=note, stat=stat, lost=tuple(lost))))
