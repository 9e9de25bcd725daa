"""Which detections are wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.pipelines.detector.options import Options

# The first two have IoU 0.8, the last is apart; best first.
BOXES = np.array([[0, 0, 10, 10], [0, 0, 8, 10], [50, 50, 60, 60]], np.float32)
SCORES = np.array([0.9, 0.5, 0.3], np.float32)


def chosen(**options: Any) -> list[int]:
    return Options(**options).choose(BOXES, SCORES).tolist()


def test_one_name_an_object_by_default() -> None:
    assert chosen() == [0, 2]
    assert chosen(multi_label=True) == [0, 1, 2]


def test_a_score_at_the_threshold_is_kept() -> None:
    assert chosen(threshold=0.31) == [0]
    assert chosen(threshold=0.9) == [0]
    assert chosen(threshold=1) == []


def test_at_most_the_best() -> None:
    assert chosen(top_k=2, multi_label=True) == [0, 1]
    assert chosen(top_k=1) == [0]


def test_nothing_and_boxes_without_an_area() -> None:
    none = np.zeros((0, 4), np.float32)
    assert Options().choose(none, SCORES[:0]).tolist() == []
    assert Options().choose(np.zeros((2, 4), np.float32), SCORES[:2]).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", -0.1),
        ("threshold", 1.1),
        ("threshold", float("nan")),
        ("threshold", "0.5"),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_k", True),
        ("gamma", 2.5),
        ("multi_label", 1),
    ],
)
def test_values_are_checked(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"^{name}: must be "):
        Options.of({name: value})


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(
        UserError, match="treshold: is not an option of detect; did you mean 'thresh"
    ):
        Options.of({"treshold": 0.5})
