"""Videos in and out."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from disks import no_room
from PIL import Image

from unidet.errors import UserError
from unidet.pictures.videos import (
    damage_note,
    film_of,
    frame_rate,
    read_frames,
    video_file,
    video_name,
)

RED_BLUE_GREEN = ((200, 30, 30), (30, 30, 200), (30, 160, 30))


@pytest.mark.parametrize("name", ["x.mp4", "x.avi"])
def test_what_is_written_is_read(
    name: str, tmp_path: Path, make_video: Callable[..., None]
) -> None:
    make_video(tmp_path / name, 5.0)
    film = film_of(tmp_path / name)
    assert (film.size_hw, film.frames, frame_rate(tmp_path / name)) == ((48, 64), 3, 5.0)
    frames = list(read_frames(tmp_path / name))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    means = np.array([frame.mean(axis=(0, 1)) for frame in frames])
    assert np.abs(means - RED_BLUE_GREEN).max() < 12, "red, blue and green, in RGB"


@pytest.mark.parametrize(
    ("milliseconds", "rate"),
    [
        ([0, 33, 74, 101, 130], 4000 / 130),  # FFmpeg guesses 1000 frames per second
        ([0, 100, 200, 300, 400], 10.0),
        ([0, 8, 16, 24, 524, 1024, 1524], 6000 / 1524),  # dense at first
        ([0], 25.0),
    ],
)
def test_a_rate_that_no_header_names_is_that_of_the_times(
    milliseconds: list[int], rate: float, tmp_path: Path
) -> None:
    _matroska(tmp_path / "screen.mkv", milliseconds)
    assert len(list(read_frames(tmp_path / "screen.mkv"))) == len(milliseconds)
    assert frame_rate(tmp_path / "screen.mkv") == pytest.approx(rate, rel=0.03)


def _matroska(path: Path, milliseconds: list[int]) -> None:
    """Frames of 64x48 at these times and no rate, as browsers record (RFC 9559)."""

    def element(identity: str, content: bytes) -> bytes:
        return bytes.fromhex(identity) + (len(content) | 1 << 56).to_bytes(8, "big") + content

    def number(identity: str, value: int) -> bytes:
        return element(identity, value.to_bytes(4, "big"))

    jpeg = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(jpeg, "JPEG")
    size = element("e0", number("b0", 64) + number("ba", 48))
    film = number("d7", 1) + number("73c5", 1) + number("83", 1) + element("86", b"V_MJPEG")
    frames = (
        element("a3", b"\x81" + time.to_bytes(2, "big") + b"\x80" + jpeg.getvalue())
        for time in milliseconds
    )
    parts = [
        element("1549a966", number("2ad7b1", 1_000_000)),
        element("1654ae6b", element("ae", film + size)),
        element("1f43b675", number("e7", 0) + b"".join(frames)),
    ]
    head = element("1a45dfa3", element("4282", b"matroska"))
    path.write_bytes(head + element("18538067", b"".join(parts)))


def test_a_video_that_fails_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with video_file(tmp_path / "x.mp4", 5.0) as write:
            write(np.zeros((48, 64, 3), np.uint8))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  the one of this test
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.mp4", "x.avi"])
@pytest.mark.parametrize("room", [0, 9000])
def test_a_video_that_finds_no_room_is_not_there(name: str, room: int, tmp_path: Path) -> None:
    """OpenCV goes on as if nothing were wrong, and gives a header that counts all frames."""
    noise = np.random.default_rng(0).integers(0, 256, (9, 48, 64, 3), np.uint8)

    def fill() -> None:
        with no_room(room), video_file(tmp_path / name, 5.0) as write:
            for frame in noise:
                write(frame)

    with pytest.raises(UserError, match=f"{name}: .*disk"):
        fill()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("cosine", "sine", "corners"),
    [(0, 1, "_RG_"), (-1, 0, "G__R"), (0, -1, "_GR_")],
    ids=["90", "180", "270"],
)
def test_a_turned_video_is_read_as_it_is_shown(
    cosine: int, sine: int, corners: str, tmp_path: Path
) -> None:
    """A telephone held upright writes frames that lie, and how to turn them (ISO 14496-12)."""
    frame = np.full((48, 64, 3), 128, np.uint8)
    frame[:16, :16], frame[-16:, -16:] = (255, 0, 0), (0, 255, 0)
    path = tmp_path / "x.mp4"
    with video_file(path, 5.0) as write:
        write(frame)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    one = 1 << 16
    struct.pack_into(">5i", content, matrix, cosine * one, sine * one, 0, -sine * one, cosine * one)
    path.write_bytes(content)
    (read,) = read_frames(path)
    assert read.shape[:2] == film_of(path).size_hw == ((48, 64) if cosine else (64, 48))
    colours = [read[row, column].astype(int) for row in (5, -5) for column in (5, -5)]
    assert "".join("RG_"[np.argmax([*color[:2], 190])] for color in colours) == corners


def test_a_video_that_breaks_off_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.avi"
    with video_file(path, 5.0) as write:
        for frame in np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8):
            write(frame)
    whole = path.read_bytes()
    assert damage_note(path, len(list(read_frames(path)))) == ""
    path.write_bytes(whole[: len(whole) // 2])
    count = len(list(read_frames(path)))
    assert 0 < count < 10
    assert damage_note(path, count) == (
        f"breaks off: {count} of the 12 frames that its header names could be read"
    )
    assert damage_note(path, 11) == "", "headers may be a frame off"
    assert capfd.readouterr() == ("", ""), "FFmpeg is silent"


def filmed(path: Path, count: int = 12) -> bytes:
    frame = np.random.default_rng(0).integers(0, 255, (15, 20, 3), np.uint8)
    frame = np.asarray(Image.fromarray(frame).resize((320, 240)))
    with video_file(path, 5.0) as write:
        for number in range(count):
            write(np.roll(frame, 5 * number, 1))
    return path.read_bytes()


@pytest.mark.parametrize("name", ["x.avi", "x.mp4"])
def test_a_stretch_of_zeros_is_told(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Within a frame it leaves colours that nobody filmed, and over two a frame is lost."""
    path = tmp_path / name
    whole = filmed(path)
    assert damage_note(path, 12) == ""
    assert damage_note(path, 11) == "", "headers may be a frame off"
    for place in range(len(whole) // 3, len(whole) * 2 // 3, len(whole) // 30):
        path.write_bytes(whole[:place] + bytes(1200) + whole[place + 1200 :])
        frames = list(read_frames(path))
        lost = [number for number, frame in enumerate(frames, start=1) if frame is None]
        note = damage_note(path, len(frames), lost)
        told = ("has stretches of zeros, as a copy", "breaks off: ", "is damaged: ")
        assert note.startswith(told), place
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("damaged", "kept", "told"),
    [
        ([4], 12, "is damaged: frame 5 cannot be decoded; the others are read"),
        ([0, 6, 7], 12, "is damaged: 3 frames from 1 on cannot be decoded; the others are read"),
        (
            [4],
            8,
            "is damaged: frame 5 cannot be decoded; the others are read; "
            "breaks off: 7 of the 12 frames that its header names could be read",
        ),
    ],
)
def test_frames_behind_a_damaged_one_are_read(
    damaged: list[int], kept: int, told: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.avi"
    greys = [20 * (number + 1) for number in range(12)]
    with video_file(path, 5.0) as write:
        for grey in greys:
            write(np.full((48, 64, 3), grey, np.uint8))
    content = bytearray(path.read_bytes())
    starts = [found.start() for found in re.finditer(b"\xff\xd8\xff", content)]
    for number in damaged:
        content[starts[number] : starts[number] + 200] = b"\x55" * 200
    path.write_bytes(content[: starts[kept]] if kept < 12 else content)
    frames = list(read_frames(path))
    assert len(frames) == kept
    lost = [number for number, frame in enumerate(frames) if frame is None]
    assert lost == damaged
    for grey, frame in zip(greys, frames, strict=False):
        assert frame is None or abs(frame.mean() - grey) < 4
    assert damage_note(path, len(frames), [number + 1 for number in lost]) == told
    assert capfd.readouterr() == ("", ""), "FFmpeg is silent"


def test_no_video(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with pytest.raises(UserError, match=r"x\.mp4: no such file"):
        film_of(path)
    for content, complaint in [
        (b"", "is empty: fetch or write it again"),
        (b"plain text", "is text, which begins with 'plain text'$"),
        (b"<!DOCTYPE html><html>", "is a web page, not the file itself"),
        (bytes(5000), "begins with zeros, as a copy that broke off$"),
        (b"\xfe\x01 of no kind", "is no video that OpenCV reads$"),
    ]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"x\.mp4: {complaint}"):
            next(read_frames(path))


def test_bytes_of_a_damaged_video_do_not_reach_the_terminal(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """OpenCV's own reader of AVI, which is not asked, tells which four bytes it has found."""
    path = tmp_path / "x.avi"
    path.write_bytes(b"RIFF\0\1\0\0AVI LIST\x64\0\0\0\x1b[2J" + bytes(3000))
    with pytest.raises(UserError, match=r"is no video that OpenCV reads$"):
        next(read_frames(path))
    assert capfd.readouterr() == ("", "")


def test_a_video_without_its_end_is_cut_short(tmp_path: Path) -> None:
    """An MP4's index stands behind its frames, and goes first where a copy breaks off."""
    path = tmp_path / "x.mp4"
    with video_file(path, 5) as append:
        for _ in range(4):
            append(np.zeros((32, 32, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"x\.mp4: is cut short: it has no index \(moov\)"):
        film_of(path)


def test_names() -> None:
    assert [video_name(name) for name in ("a/b.mp4", "b.AVI", "c.d.mov")] == [
        *("a/b.mp4", "b.AVI", "c.d.mp4")
    ]
