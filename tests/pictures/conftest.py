"""What tests of images are made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unidet.pictures.videos import video_file

COLOURS = ((200, 30, 30), (30, 30, 200), (30, 160, 30))


@pytest.fixture
def make_video() -> Callable[..., None]:
    """Writes three frames of 64x48, red, blue and green, at so many a second."""

    def make(path: Path, rate: float = 5.0) -> None:
        with video_file(path, rate) as write:
            for colour in COLOURS:
                write(np.full((48, 64, 3), colour, np.uint8))

    return make
