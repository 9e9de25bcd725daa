"""Detections that do not depend on the images are said to be so."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.pictures.detections import Detections
from unidet.pictures.odd_detections import FEWEST, Alike

BOX = (1.0, 2.0, 30.5, 40.0)


def line_of(boxes: list[list[float]], scores: list[float], images: int = 2) -> str:
    """Of these detections, shared out among images."""
    alike = Alike()
    for part in np.array_split(np.arange(len(boxes)), images):
        detections = Detections(
            np.array(boxes, np.float32)[part].reshape(-1, 4),
            np.array(scores, np.float32)[part],
            np.zeros(len(part), np.int64),
            ("cat",),
            (50, 60),
        )
        alike.add(detections)
        alike.add(detections.take(np.zeros(0, int)))
    return alike.line()


@pytest.mark.parametrize(
    ("same_box", "same_score", "said"),
    [
        (True, True, "all 10 boxes have the score 0.5 and the box 1 2 30.5 40, whatever the 2 im"),
        (True, False, "all 10 boxes have the box 1 2 30.5 40, whatever the 2 images show: are"),
        (False, True, "all 10 boxes have the score 0.5, whatever the 2 images show: are the"),
        (False, False, ""),
    ],
)
def test_what_is_alike(same_box: bool, same_score: bool, said: str) -> None:
    moved = np.zeros((FEWEST, 1)) if same_box else np.arange(FEWEST)[:, None]
    scores = np.full(FEWEST, 0.5) if same_score else np.linspace(0.5, 0.9, FEWEST)
    line = line_of((BOX + moved).tolist(), scores.tolist())
    assert line.startswith(said)
    assert bool(line) == bool(said)


def test_few_tell_nothing() -> None:
    assert not line_of([list(BOX)] * 9, [0.5] * 9)
    assert not line_of([list(BOX)] * 20, [0.5] * 20, images=1)
    assert not Alike().line()
