"""Class-parallel suppression against a plain scalar loop over one class after another."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from unidet.evaluation.soft_nms import Suppression, pairwise_iou, suppressor

Detection = tuple[int, int, float]
Candidate = tuple[int, int, np.float32]
OFFICIAL = Suppression()


def scalar_iou(first: np.ndarray, second: np.ndarray) -> np.float32:
    zero = np.float32(0)
    width = max(zero, min(first[2], second[2]) - max(first[0], second[0]))
    height = max(zero, min(first[3], second[3]) - max(first[1], second[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return width * height / (areas[0] + areas[1] - width * height)


def scalar_call(
    boxes: np.ndarray, candidates: list[Candidate], settings: Suppression, offsets: np.ndarray
) -> list[Detection]:
    """One call of mmcv's soft_nms (or nms), as batched_nms makes it: classes do not overlap."""
    remaining, picked = list(candidates), []
    while remaining:
        region, label, score = max(remaining, key=lambda candidate: candidate[2])
        remaining.remove((region, label, score))
        picked.append((region, label, float(score)))
        kept = []
        for other, other_label, other_score in remaining:
            pair = boxes[[region, other]] + offsets[label]
            iou = scalar_iou(*pair) if label == other_label else 0.0
            if settings.method == "hard":
                if iou <= settings.iou_threshold:
                    kept.append((other, other_label, other_score))
                continue
            decayed = other_score * np.float32(math.exp(-(iou * iou) / settings.sigma))
            if decayed >= settings.min_score:
                kept.append((other, other_label, decayed))
        remaining = kept
    return picked


def scalar_suppress(
    boxes: np.ndarray, scores: np.ndarray, settings: Suppression
) -> list[Detection]:
    candidates = [
        (region, label, scores[region, label])
        for region, label in np.argwhere(scores > settings.score_threshold).tolist()
    ]
    offsets = np.zeros(scores.shape[1], np.float32)
    if settings.offset_classes:  # mmcv ops/nms.py batched_nms, in float32 as there
        largest = boxes[sorted({region for region, _, _ in candidates})].max(initial=0)
        offsets = np.arange(scores.shape[1], dtype=np.float32) * (largest + np.float32(1))
    if len(candidates) < settings.split_threshold:
        calls = [candidates]
    else:
        calls = [
            [candidate for candidate in candidates if candidate[1] == label]
            for label in range(scores.shape[1])
        ]
    picked = [pick for call in calls for pick in scalar_call(boxes, call, settings, offsets)]
    return sorted(picked, key=lambda pick: -pick[2])[: settings.max_per_image]


def random_case(
    seed: int, regions: int, classes: int, level: float
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 60, (regions, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (regions, 2))], 1)
    scores = 1 / (1 + np.exp(-rng.normal(level, 3, (regions, classes))))
    return boxes.astype(np.float32), scores.astype(np.float32)


def run(boxes: np.ndarray, scores: np.ndarray, settings: Suppression) -> list[Detection]:
    (columns,) = suppressor(boxes, settings)([scores[None]])
    assert columns[2].dtype == np.float32
    return list(zip(*(column.tolist() for column in columns), strict=True))


def assert_equal(ours: list[Detection], expected: list[Detection]) -> None:
    assert [pick[:2] for pick in ours] == [pick[:2] for pick in expected]
    scores = [pick[2] for pick in expected]
    np.testing.assert_allclose([pick[2] for pick in ours], scores, rtol=2e-6, atol=0)


@pytest.mark.parametrize("limit", [1, 7, 40, 10_000])
@pytest.mark.parametrize("split", [0, 10_000])
@pytest.mark.parametrize("method", ["soft", "hard"])
def test_equal_to_the_scalar_loop(method: str, split: int, limit: int) -> None:
    settings = Suppression(method=method, split_threshold=split, max_per_image=limit)  # type: ignore[arg-type]
    for seed in range(3):
        boxes, scores = random_case(seed, regions=25, classes=9, level=-4)
        expected = scalar_suppress(boxes, scores, settings)
        assert len(expected) == limit or 100 < len(expected) < 25 * 9
        assert_equal(run(boxes, scores, settings), expected)


@pytest.mark.parametrize("method", ["soft", "hard"])
@pytest.mark.parametrize("split", [0, 10_000])
def test_boxes_offset_by_class_as_officially(method: str, split: int) -> None:
    """At 1,230 classes and 1,000 pixels float32 rounds the last classes' boxes to 1/8 pixel."""
    settings = Suppression(method=method, split_threshold=split, offset_classes=True)  # type: ignore[arg-type]
    boxes, some = random_case(3, regions=25, classes=9, level=-3)
    boxes[-1] = (900, 900, 1000, 1000)
    boxes[-2] = (2000, 2000, 3000, 3000)  # no candidate: does not widen the offset
    scores = np.zeros((25, 1230), np.float32)
    scores[:-1, -9:] = some[:-1]
    scores[-2] = 0
    scores[-1, -1] = 0.9
    ours = run(boxes, scores, settings)
    assert_equal(ours, scalar_suppress(boxes, scores, settings))
    if method == "soft":  # no overlap here lies within rounding of the hard threshold
        assert ours != run(boxes, scores, replace(settings, offset_classes=False))


@pytest.mark.parametrize("limit", [3, 40, 10_000])
@pytest.mark.parametrize("method", ["soft", "hard", "none"])
def test_scorings_side_by_side_are_as_each_alone(method: str, limit: int) -> None:
    """The second has nothing, the third fewer candidates than the split threshold."""
    settings = Suppression(method=method, max_per_image=limit, split_threshold=100)  # type: ignore[arg-type]
    boxes, scores = random_case(1, regions=25, classes=9, level=-4)
    few = np.where(np.arange(9) == 4, scores * np.float32(0.01), np.float32(0))
    several = np.stack([scores, np.zeros_like(scores), few, scores**2])
    together = suppressor(boxes, settings)([several])
    for columns, alone in zip(together, several, strict=True):
        (expected,) = suppressor(boxes, settings)([alone[None]])
        for column, other in zip(columns, expected, strict=True):
            np.testing.assert_array_equal(column, other)
    assert len(together[1][0]) == 0 < len(together[2][0])


@pytest.mark.parametrize("split", [0, 10_000])
def test_low_scores_are_kept_only_as_first_pick_of_a_call(split: int) -> None:
    settings = replace(OFFICIAL, split_threshold=split)
    boxes, scores = random_case(5, regions=6, classes=4, level=0)
    scores = scores / scores.max() * np.float32(9e-4)
    ours = run(boxes, scores, settings)
    assert_equal(ours, scalar_suppress(boxes, scores, settings))
    # below min_score all: the best of each class, or the best of the image
    assert len(ours) == (1 if split else 4)


def test_the_official_threshold_decides_between_one_call_and_many() -> None:
    boxes, scores = random_case(6, regions=2, classes=5000, level=0)
    scores = np.maximum(scores * np.float32(9e-4), np.float32(2e-4))
    assert len(run(boxes, scores, OFFICIAL)) == 300
    scores[0, 0] = 0
    assert len(run(boxes, scores, OFFICIAL)) == 1


def test_two_boxes_worked_by_hand() -> None:
    # IoU 50 / 150 = 1/3
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], dtype=np.float32)
    scores = np.array([[0.5], [0.8]], dtype=np.float32)
    np.testing.assert_allclose(pairwise_iou(boxes), [[1, 1 / 3], [1 / 3, 1]], rtol=1e-6)
    (first, second) = run(boxes, scores, OFFICIAL)
    assert first == (1, 0, pytest.approx(0.8))
    assert second == (0, 0, pytest.approx(0.5 * math.exp(-2 / 9)))
    hard = replace(OFFICIAL, method="hard", iou_threshold=0.3)
    assert run(boxes, scores, hard) == [(1, 0, pytest.approx(0.8))]
    assert len(run(boxes, scores, replace(hard, iou_threshold=0.34))) == 2


def test_overlap_equal_to_the_threshold_is_kept() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1]], dtype=np.float32)
    scores = np.array([[0.9], [0.8]], dtype=np.float32)
    assert len(run(boxes, scores, Suppression(method="hard", iou_threshold=0.5))) == 2


def test_without_suppression_the_best_scores_are_kept() -> None:
    boxes, scores = random_case(7, regions=9, classes=5, level=-2)
    scores[:2] = 0
    best = [divmod(int(at), 5) for at in np.argsort(-scores.ravel(), kind="stable")]
    ours = run(boxes, scores, Suppression(method="none", max_per_image=6))
    assert [pick[:2] for pick in ours] == best[:6]
    assert len(run(boxes, scores, Suppression(method="none"))) == 7 * 5


@pytest.mark.parametrize("method", ["soft", "hard", "none"])
@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_nothing_gives_nothing(method: str, shape: tuple[int, int]) -> None:
    settings = Suppression(method=method)  # type: ignore[arg-type]
    boxes = np.ones((shape[0], 4), dtype=np.float32)
    assert run(boxes, np.ones(shape, dtype=np.float32), settings) == []


@pytest.mark.parametrize("method", ["soft", "hard", "none"])
def test_one_degenerate_box_is_kept(method: str) -> None:
    settings = Suppression(method=method)  # type: ignore[arg-type]
    boxes = np.array([[3, 3, 3, 3]], dtype=np.float32)
    scores = np.array([[0.25, 1e-4]], dtype=np.float32)
    # a candidate must exceed the threshold 1e-4
    assert run(boxes, scores, settings) == [(0, 0, 0.25)]


@pytest.mark.parametrize("method", ["soft", "hard", "none"])
def test_nan_is_no_candidate(method: str) -> None:
    settings = Suppression(method=method)  # type: ignore[arg-type]
    boxes = np.array([[0, 0, 9, 9], [0, 0, 8, 8]], dtype=np.float32)
    scores = np.array([[np.nan, 0.5], [np.nan, np.nan]], dtype=np.float32)
    assert run(boxes, scores, settings) == [(0, 1, 0.5)]


def test_equal_scores_of_a_class_go_to_the_lower_region() -> None:
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 9]], dtype=np.float32)
    scores = np.full((2, 1), 0.5, dtype=np.float32)
    assert [pick[0] for pick in run(boxes, scores, OFFICIAL)] == [0, 1]


def test_the_scores_given_are_left_alone() -> None:
    boxes, scores = random_case(8, regions=5, classes=5, level=0)
    before = scores.copy()
    run(boxes, scores, OFFICIAL)
    run(boxes, np.asfortranarray(scores), OFFICIAL)
    assert np.array_equal(scores, before)
