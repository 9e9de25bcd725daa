"""NMS against a plain float64 loop, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.ops.nms import nms


def suppress(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    return nms(boxes, scores, threshold).tolist()


def plain(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> list[int]:
    """The definition, one pair at a time."""
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        for j in kept:
            low, high = (
                np.maximum(boxes[i, :2], boxes[j, :2]),
                np.minimum(boxes[i, 2:], boxes[j, 2:]),
            )
            shared = np.prod(np.maximum(high - low, 0))
            union = np.prod(boxes[i, 2:] - boxes[i, :2]) + np.prod(boxes[j, 2:] - boxes[j, :2])
            if shared > threshold * (union - shared):
                break
        else:
            kept.append(i)
    return kept


@pytest.mark.parametrize("threshold", [0.3, 0.6])
def test_equals_the_definition_also_on_equal_scores(threshold: float) -> None:
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 60, (300, 2))
    boxes = np.concatenate([low, low + rng.uniform(10, 50, (300, 2))], axis=1)
    scores = rng.integers(0, 20, 300).astype(np.float32)
    kept = suppress(boxes, scores, threshold)
    assert kept == plain(boxes, scores, threshold)
    assert 1 < len(kept) < 300


def test_no_box_and_one_box() -> None:
    assert suppress(np.zeros((0, 4)), np.zeros(0, np.float32), 0.5) == []
    assert suppress(np.array([[0, 0, 1, 1]]), np.ones(1, np.float32), 0.5) == [0]


def test_only_overlaps_above_the_threshold_go() -> None:
    """IoU exactly 1/2; with an area of (w + 1)(h + 1) it would be more."""
    boxes, scores = np.array([[0, 0, 10, 10], [0, 0, 10, 5]]), np.array([0.1, 0.2], np.float32)
    assert suppress(boxes, scores, 0.5) == [1, 0]
    assert suppress(boxes, scores, 0.49) == [1]
    assert suppress(boxes, scores, 0.0) == [1]


def test_degenerate_boxes_stay() -> None:
    boxes = np.array([[5, 5, 5, 5], [5, 5, 5, 5], [8, 0, 2, 9], [0, 0, 9, 9]])
    assert suppress(boxes, np.array([4, 3, 2, 1], np.float32), 0.5) == [0, 1, 2, 3]
