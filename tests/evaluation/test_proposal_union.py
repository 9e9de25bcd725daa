"""Proposals of several networks together, by hand."""

from __future__ import annotations

import numpy as np

from unidet.evaluation.proposal_union import union

LEFT, NEAR, RIGHT, FAR = [0, 0, 10, 10], [0, 0, 10, 8], [20, 0, 30, 10], [40, 0, 50, 10]
"""Of these only `LEFT` and `NEAR` overlap: by .8."""


def proposals(*rows: tuple[list[int], float]) -> np.ndarray:
    return np.array([[*box, score] for box, score in rows], np.float32).reshape(-1, 5)


def test_ranks_count_not_scores() -> None:
    """The sure network's second box stands behind the other's first one."""
    sure = proposals((LEFT, 0.99), (RIGHT, 0.98))
    other = proposals((FAR, 0.01))
    np.testing.assert_allclose(
        union([sure, other], keep=4, nms=0.7), proposals((LEFT, 1), (FAR, 1), (RIGHT, 0.75))
    )


def test_of_a_box_that_both_find_the_higher_rank_stays_and_the_first_network_s_of_equals() -> None:
    first, second = proposals((RIGHT, 0.9), (LEFT, 0.8)), proposals((NEAR, 0.7), (RIGHT, 0.6))
    np.testing.assert_allclose(
        union([first, second], keep=2, nms=0.7), proposals((RIGHT, 1), (NEAR, 1))
    )
    np.testing.assert_allclose(
        union([first, second], keep=4, nms=0.85),
        proposals((RIGHT, 1), (NEAR, 1), (LEFT, 0.75)),
    )


def test_no_proposals_and_one() -> None:
    none, one = proposals(), proposals((LEFT, 0.5))
    assert union([none, none], keep=3, nms=0.5).shape == (0, 5)
    np.testing.assert_allclose(union([none, one], keep=3, nms=0.5), proposals((LEFT, 1)))
