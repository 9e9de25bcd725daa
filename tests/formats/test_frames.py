"""The frame of boxes: all of them count, however many come first that are right or wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.formats import frames
from unidet.formats.frames import check_frame

SIZES = np.array([[100, 80]])
FRACTIONS, CORNERS = [0.1, 0.1, 0.5, 0.2], [60, 40, 90, 70]


def check(boxes: list[list[float]]) -> None:
    array = np.array(boxes, np.float64)
    check_frame(Path("some.json"), "boxes", array, SIZES, np.zeros(len(array), np.int64))


def test_all_of_one_kind_are_refused() -> None:
    with pytest.raises(UserError, match="all 6 boxes of its boxes lie in"):
        check([FRACTIONS] * 6)
    with pytest.raises(UserError, match="6 of the 6 boxes of its boxes reach over"):
        check([CORNERS] * 6)


@pytest.mark.parametrize("first", [1, 3, 4096])
@pytest.mark.parametrize("wrong", [FRACTIONS, CORNERS])
def test_one_that_is_right_is_enough(
    wrong: list[float], first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, in the middle and at the end."""
    monkeypatch.setattr(frames, "_FIRST", first)
    for place in (0, 3, 5):
        boxes = [wrong] * 6
        boxes[place] = [10, 10, 5, 2]
        check(boxes)


def test_no_boxes_and_boxes_that_are_not_sound() -> None:
    check_frame(Path("x"), "boxes", np.zeros((0, 4)), SIZES, np.zeros(0, np.int64))
    check([[np.nan, 1, 2, 3]] * 6)
