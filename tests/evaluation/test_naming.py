"""Right, confused or missed: two images by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.evaluation.category_outcomes import calibration_error_metrics, outcome_columns
from unidet.evaluation.naming import (
    CONFUSED,
    MISSED,
    RIGHT,
    UNCOUNTED,
    confusions,
    image_scores,
    naming,
    ranked_images,
)
from unidet.evaluation.outcomes import outcomes
from unidet.records import Detections, GroundTruth

CAT, DOG = 0, 1


@pytest.fixture
def truth() -> GroundTruth:
    """Image 10: a cat, a dog, a crowd of dogs. Image 20: two cats. Image 30: nothing."""
    boxes = np.array(
        [[0, 0, 10, 10], [50, 50, 10, 10], [80, 0, 20, 20], [0, 0, 10, 10], [40, 40, 10, 10]], float
    )
    return GroundTruth(
        source="hand",
        image_ids=np.array([10, 20, 30]),
        category_ids=np.array([3, 7]),
        category_names=("cat", "dog"),
        frequencies=(None, None),
        novel=None,
        annotation_ids=np.arange(1, 6),
        image_rows=np.array([0, 0, 0, 1, 1]),
        category_rows=np.array([CAT, DOG, DOG, CAT, CAT]),
        boxes_xywh=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        is_crowd=np.array([False, False, True, False, False]),
        is_ignored=np.zeros(5, bool),
        negatives=None,
        not_exhaustive=None,
    )


@pytest.fixture
def detections() -> Detections:
    """The cat; the dog as a cat; the second image's first cat twice, and as a dog too weakly."""
    return Detections(
        image_ids=np.array([10, 10, 20, 20, 20]),
        category_ids=np.array([3, 3, 3, 3, 7]),
        boxes_xywh=np.array(
            [[0, 0, 10, 10], [50, 50, 10, 11], [0, 0, 10, 10], [1, 0, 10, 10], [40, 40, 10, 10]],
            float,
        ),
        scores=np.array([0.9, 0.8, 0.7, 0.6, 0.1]),
    )


def test_fates(truth: GroundTruth, detections: Detections) -> None:
    found = naming(truth, detections, outcomes(truth, detections, "coco"), 0.5)
    assert found.fates.tolist() == [RIGHT, CONFUSED, UNCOUNTED, RIGHT, MISSED]
    assert found.names.tolist() == [CAT, CAT, -1, CAT, -1]
    assert found.shown.tolist() == [0, 1, 2, 3]
    assert found.is_true.tolist() == [True, False, True, False]
    assert found.is_false.tolist() == [False, True, False, True]
    (pair,) = confusions(truth, found, 5)
    assert (pair.name, pair.called, pair.count, pair.share) == (DOG, CAT, 1, 1.0)


def test_a_lower_score_shows_more(truth: GroundTruth, detections: Detections) -> None:
    found = naming(truth, detections, outcomes(truth, detections, "coco"), 0.05)
    assert found.fates.tolist() == [RIGHT, CONFUSED, UNCOUNTED, RIGHT, CONFUSED]
    assert found.names[4] == DOG
    assert confusions(truth, found, 1)[0].name == CAT  # both once: in the order of the categories


def test_images(truth: GroundTruth, detections: Detections) -> None:
    found = naming(truth, detections, outcomes(truth, detections, "coco"), 0.5)
    scores = image_scores(truth, detections, found)
    assert scores.right.tolist() == [1, 1, 0]
    assert scores.confused.tolist() == [1, 0, 0]
    assert scores.missed.tolist() == [0, 1, 0]
    assert scores.wrong.tolist() == [1, 1, 0]
    np.testing.assert_allclose(scores.f1, [0.5, 0.5, np.nan])
    assert ranked_images(scores, "best", 5).tolist() == [0, 1]
    assert ranked_images(scores, "confused", 5).tolist() == [0]
    assert ranked_images(scores, "missed", 5).tolist() == [1]
    assert ranked_images(scores, "worst", 1).tolist() == [0]


def test_nothing_is_detected(truth: GroundTruth) -> None:
    nothing = Detections.concatenate([])
    found = naming(truth, nothing, outcomes(truth, nothing, "coco"), np.inf)
    assert found.fates.tolist() == [MISSED, MISSED, UNCOUNTED, MISSED, MISSED]
    assert confusions(truth, found, 5) == []
    scores = image_scores(truth, nothing, found)
    assert scores.missed.tolist() == [2, 2, 0]
    assert ranked_images(scores, "best", 5).tolist() == []
    assert ranked_images(scores, "worst", 5).tolist() == [0, 1]


def test_each_category_s_boxes_and_the_error_of_its_scores(
    truth: GroundTruth, detections: Detections
) -> None:
    """F1 is highest from .7 on, where the dog is called a cat and the last cat is missed.

    Cat: |.9 - 1|, .8, |.7 - 1|, .6, a detection in each bin; dog: .1.
    """
    found = outcomes(truth, detections, "coco")
    columns = {
        name: column.tolist() for name, column in outcome_columns(truth, detections, found).items()
    }
    assert columns.pop("ECE") == pytest.approx([(0.1 + 0.8 + 0.3 + 0.6) / 4, 0.1])
    assert columns == {
        "right": [2, 0], "confused": [0, 1], "missed": [1, 0], "called": ["", "cat"]
    }  # fmt: skip
    errors = calibration_error_metrics(truth, found, {3: False, 7: True})
    expected = {"ECE": (1.8 + 0.1) / 5, "ECE_base": 0.45, "ECE_novel": 0.1}
    assert errors == pytest.approx(expected)


def test_no_detections_are_no_error(truth: GroundTruth) -> None:
    nothing = Detections.concatenate([])
    found = outcomes(truth, nothing, "coco")
    assert calibration_error_metrics(truth, found) == {"ECE": -1}
    columns = outcome_columns(truth, nothing, found)
    assert np.isnan(columns["ECE"]).all()
    assert columns["missed"].tolist() == [3, 1]
