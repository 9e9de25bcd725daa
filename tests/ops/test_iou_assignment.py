"""Matching and sampling by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from unidet.ops.iou_assignment import IGNORED, NEGATIVE, match_by_max_iou
from unidet.ops.sampling import sample_random


def match(rows: list[list[float]], low_quality: bool) -> list[int]:
    iou = np.array(rows, np.float32)
    return match_by_max_iou(iou, 0.7, 0.3, 0.2, low_quality).tolist()


def test_thresholds() -> None:
    """pos and the lower bound of 'ignored' belong to the upper side."""
    assert match([[0.29, 0.3, 0.69, 0.7, 0.9], [0, 0, 0, 0, 0.95]], low_quality=False) == [
        NEGATIVE,
        IGNORED,
        IGNORED,
        0,
        1,
    ]


def test_low_quality_claims_all_ties_of_the_own_best() -> None:
    assert match([[0.25, 0.25, 0.1]], low_quality=True) == [0, 0, NEGATIVE]
    assert match([[0.19, 0.19, 0.1]], low_quality=True) == [NEGATIVE] * 3


def test_low_quality_overwrites_and_later_boxes_win() -> None:
    """Box 1's best is candidate 0, which is box 0's by far; box 2 then takes it from box 1."""
    rows = [[0.9, 0.8], [0.4, 0.1], [0.3, 0.2]]
    assert match(rows[:2], low_quality=True) == [1, 0]
    assert match(rows, low_quality=True) == [2, 0]


def test_nothing_to_match() -> None:
    assert match_by_max_iou(np.zeros((0, 3)), 0.5, 0.5, 0, True).tolist() == [NEGATIVE] * 3
    assert match_by_max_iou(np.zeros((2, 0)), 0.5, 0.5, 0, True).shape == (0,)
    assert match([[0.8]], low_quality=True) == [0]


def test_few_candidates_are_all_taken_without_a_draw() -> None:
    positive, negative = sample_random(
        np.array([1, NEGATIVE, 0, IGNORED]), 4, 0.5, rng=np.random.default_rng(0)
    )
    assert_array_equal(positive, [0, 2])
    assert_array_equal(negative, [1])


@pytest.mark.parametrize(("fraction", "expected"), [(0.25, (2, 8)), (1.0, (6, 4)), (0.0, (0, 10))])
def test_counts(fraction: float, expected: tuple[int, int]) -> None:
    assigned = np.array([0] * 6 + [NEGATIVE] * 30 + [IGNORED] * 5)
    positive, negative = sample_random(assigned, 10, fraction, np.random.default_rng(3))
    assert (len(positive), len(negative)) == expected
    assert (assigned[positive] == 0).all()
    assert (assigned[negative] == NEGATIVE).all()
    assert (np.diff(negative) > 0).all()


def test_the_draw_is_the_head_of_a_permutation() -> None:
    class Backwards:
        def permutation(self, x: int) -> np.ndarray:
            return np.arange(x)[::-1]

    assigned = np.array([0, 0, 0, NEGATIVE, NEGATIVE, NEGATIVE])
    positive, negative = sample_random(assigned, 3, 0.4, Backwards())
    assert_array_equal(positive, [2])
    assert_array_equal(negative, [4, 5])


def test_no_candidates() -> None:
    positive, negative = sample_random(np.zeros(0, np.int64), 8, 0.5, np.random.default_rng(0))
    assert positive.shape == negative.shape == (0,)
