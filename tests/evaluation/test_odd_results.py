"""What is said of results that cannot be right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from unidet.evaluation.odd_results import oddities
from unidet.records import Detections, GroundTruth

COUNT = 12


@pytest.fixture
def truth() -> GroundTruth:
    """Four images, two categories, three boxes an image."""
    places = np.arange(COUNT, dtype=np.float64)
    return GroundTruth(
        source="truth.json",
        image_ids=np.arange(1, 5),
        category_ids=np.array([1, 2]),
        category_names=("ant", "bee"),
        frequencies=(None,) * 2,
        novel=None,
        annotation_ids=np.arange(1, COUNT + 1),
        image_rows=np.arange(COUNT) % 4,
        category_rows=np.arange(COUNT) % 2,
        boxes_xywh=np.stack([20 * places, places, places + 9, places + 10], axis=1),
        areas=np.full(COUNT, 100.0),
        is_crowd=np.zeros(COUNT, bool),
        is_ignored=np.zeros(COUNT, bool),
        negatives=None,
        not_exhaustive=None,
    )


@pytest.fixture
def usual(truth: GroundTruth) -> Detections:
    return Detections(
        truth.image_ids[truth.image_rows],
        truth.category_ids[truth.category_rows],
        truth.boxes_xywh + 0.25,
        np.linspace(0.1, 0.9, COUNT),
    )


def said(truth: GroundTruth, detections: Detections, style: str = "coco") -> list[str]:
    return list(oddities(truth, detections, style))


def test_usual_results_are_not_spoken_of(truth: GroundTruth, usual: Detections) -> None:
    for style in ("coco", "lvis", "proposals"):
        assert said(truth, usual, style) == []
    nearly = replace(usual, boxes_xywh=np.vstack([usual.boxes_xywh[:1], truth.boxes_xywh[1:]]))
    assert said(truth, nearly) == []
    assert said(truth, usual.take(np.arange(1))) == []


def test_none_at_all(truth: GroundTruth, usual: Detections) -> None:
    (line,) = said(truth, usual.take(np.zeros(0, int)))
    assert line.startswith("not one detection in 4 images, so every metric is 0: ")


@pytest.mark.parametrize(
    ("changed", "starts"),
    [
        ({"scores": lambda old: old * 0 + 1}, "all 12 detections have the same score"),
        (
            {"scores": lambda old: old * 100},
            "scores are from 10 to 90, no probabilities (percent?)",
        ),
        ({"scores": lambda old: -old}, "scores are from -0.9 to -0.1, no probabilities (logits"),
        ({"scores": lambda old: old * 9000}, "scores are from 900 to 8100, no probabilities (logi"),
        ({"boxes_xywh": lambda old: old * 0 + 3}, "all 12 detections have one box, [3, 3, 3, 3]"),
        ({"boxes_xywh": lambda old: old * [1, 1, 1, 0]}, "all 12 boxes have no area"),
        ({"boxes_xywh": lambda old: old - 0.25}, "all 12 detections have exactly the box of an an"),
        ({"category_ids": lambda old: old * 0 + 2}, "all 12 detections are of one category, 'bee'"),
    ],
)
def test_what_cannot_be_meant(
    truth: GroundTruth,
    usual: Detections,
    changed: dict[str, Callable[[np.ndarray], np.ndarray]],
    starts: str,
) -> None:
    odd = replace(usual, **{name: edit(getattr(usual, name)) for name, edit in changed.items()})
    (line,) = said(truth, odd)
    assert line.startswith(starts)


def test_proposals_have_one_category(truth: GroundTruth, usual: Detections) -> None:
    agnostic = replace(usual, category_ids=np.zeros(COUNT, np.int64))
    assert said(truth, agnostic, "proposals") == []
