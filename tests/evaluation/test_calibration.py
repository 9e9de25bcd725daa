"""The fusion and calibration formulas, with values worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.evaluation.calibration import calibration_weights, fuse_scores, prior_counts


def test_fusion_is_a_geometric_mean() -> None:
    probabilities = np.array([[0.25, 1.0], [0.04, 0.5]], dtype=np.float32)
    proposal_scores = np.array([0.81, 0.25], dtype=np.float32)
    fused = fuse_scores(probabilities, proposal_scores, 0.5)
    assert fused.dtype == np.float32
    np.testing.assert_allclose(fused, [[0.45, 0.9], [0.1, np.sqrt(0.125)]], rtol=1e-6)
    # 0.25^0.3 * 0.81^0.7
    assert fuse_scores(probabilities, proposal_scores, 0.3)[0, 0] == pytest.approx(
        0.659754 * 0.862856, rel=1e-5
    )


def test_beta_one_leaves_out_the_proposals_and_beta_zero_the_classes() -> None:
    probabilities = np.array([[0.25, 0.0]], dtype=np.float32)
    proposal_scores = np.array([0.0], dtype=np.float32)
    assert fuse_scores(probabilities, proposal_scores, 1).tolist() == [[0.25, 0.0]]
    assert fuse_scores(probabilities, np.array([0.5]), 0).tolist() == [[0.5, 0.5]]


def test_no_regions() -> None:
    assert fuse_scores(np.zeros((0, 3)), np.zeros(0), 0.3).shape == (0, 3)


def test_prior_counts_follow_the_order_of_the_vocabulary() -> None:
    counts = prior_counts(np.array([7, 2, 7, 7]), np.array([7, 5, 2]))
    assert counts.tolist() == [3, 0, 1]
    assert prior_counts(np.zeros(0, dtype=np.int64), np.array([7, 5])).tolist() == [0, 0]


def test_weights_worked_by_hand() -> None:
    # 1 / sqrt(n) = 1, 1/2, 1/4: mean 7/12
    weights = calibration_weights(np.array([1, 4, 16]), 0.5)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [12 / 7, 6 / 7, 3 / 7], rtol=1e-6)


@pytest.mark.parametrize("compat", ["default", "official"])
def test_gamma_zero_changes_nothing(compat: str) -> None:
    assert calibration_weights(np.array([0, 3, 9]), 0, compat).tolist() == [1, 1, 1]  # type: ignore[arg-type]


def test_a_class_never_detected_counts_as_detected_once() -> None:
    np.testing.assert_array_equal(
        calibration_weights(np.array([0, 4, 16]), 0.5),
        calibration_weights(np.array([1, 4, 16]), 0.5),
    )


def test_officially_a_class_never_detected_ruins_all() -> None:
    weights = calibration_weights(np.array([0, 4, 16]), 0.5, "official")
    np.testing.assert_array_equal(weights, [np.nan, 0, 0])
    np.testing.assert_array_equal(
        calibration_weights(np.array([1, 4]), 0.6, "official"),
        calibration_weights(np.array([1, 4]), 0.6),
    )
