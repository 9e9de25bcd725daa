"""Videos in and out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pictures.videos import film_of, read_frames, video_file, video_name

RED_BLUE_GREEN = ((200, 30, 30), (30, 30, 200), (30, 160, 30))


@pytest.mark.parametrize("name", ["x.mp4", "x.avi"])
def test_what_is_written_is_read(
    name: str, tmp_path: Path, make_video: Callable[..., None]
) -> None:
    make_video(tmp_path / name, 5.0)
    film = film_of(tmp_path / name)
    assert (film.size_hw, film.rate, film.frames) == ((48, 64), 5.0, 3)
    frames = list(read_frames(tmp_path / name))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    means = np.array([frame.mean(axis=(0, 1)) for frame in frames])
    assert np.abs(means - RED_BLUE_GREEN).max() < 12, "red, blue and green, in RGB"


def test_a_video_that_fails_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with video_file(tmp_path / "x.mp4", 5.0) as write:
            write(np.zeros((48, 64, 3), np.uint8))
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011  the one of this test
        fail()
    assert list(tmp_path.iterdir()) == []


def test_no_video(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with pytest.raises(UserError, match=r"x\.mp4: no such file"):
        film_of(path)
    path.write_bytes(b"plain text")
    with pytest.raises(UserError, match="is no video that OpenCV reads"):
        next(read_frames(path))


def test_names() -> None:
    assert [video_name(name) for name in ("a/b.mp4", "b.AVI", "c.d.mov")] == [
        *("a/b.mp4", "b.AVI", "c.d.mp4")
    ]
