"""Matches at IoU .5 give the official AP50 of every category; reliability and F1 by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from unidet.evaluation.coco import evaluate_coco
from unidet.evaluation.curves import operating_point, precision_recall, reliability
from unidet.evaluation.lvis import evaluate_lvis
from unidet.evaluation.outcomes import Outcomes, outcomes
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.records import Detections


def hand_made(scores: list[float], right: list[int], instances: int) -> Outcomes:
    """Detections of one category; `right`: 1 right, 0 wrong, -1 ignored."""
    fates = np.array(right)
    count = len(scores)
    return Outcomes(
        rows=np.arange(count),
        image_rows=np.zeros(count, int),
        category_rows=np.zeros(count, int),
        scores=np.array(scores, float),
        truths=np.where(fates == 1, np.arange(count), -1),
        is_true=fates == 1,
        is_false=fates == 0,
        countable=np.ones(instances, bool),
        instances=np.array([instances]),
    )


@pytest.mark.parametrize("seed", range(4))
def test_curves_have_the_official_area_in_lvis(seed: int, make_world: Callable) -> None:
    truth_path, results_path = make_world(seed, detections=400).write()
    truth = read_ground_truth(truth_path)
    detections = read_results(results_path, truth)
    curves = precision_recall(outcomes(truth, detections, "lvis"))
    official = evaluate_lvis(truth, detections).precision_TC[0]
    assert official[~np.isnan(official)].any()
    np.testing.assert_allclose(curves.mean(axis=1), official, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_curves_have_the_official_area_in_coco(seed: int, make_world: Callable) -> None:
    """With crowds, which any number of detections may lie in."""
    truth_path, results_path = make_world(seed, detections=400, with_crowds=True).write()
    truth = read_ground_truth(truth_path)
    detections = read_results(results_path, truth)
    curves = precision_recall(outcomes(truth, detections, "coco"))
    official = evaluate_coco(truth, detections).precision_TC[0]
    assert official[~np.isnan(official)].any()
    np.testing.assert_allclose(curves.mean(axis=1), official, atol=1e-12)


def test_more_than_a_hundred_detections_of_a_category(make_world: Callable) -> None:
    """COCO takes 100 of an image and category."""
    world = make_world(0, images=2, categories=1, detections=500)
    truth_path, results_path = world.write()
    truth = read_ground_truth(truth_path)
    detections = read_results(results_path, truth)
    found = outcomes(truth, detections, "coco")
    assert np.bincount(found.image_rows).max() == 100
    official = evaluate_coco(truth, detections).precision_TC[0]
    np.testing.assert_allclose(precision_recall(found).mean(axis=1), official, atol=1e-12)


@pytest.mark.parametrize("style", ["lvis", "coco"])
def test_no_detections(style: str, make_world: Callable) -> None:
    truth = read_ground_truth(make_world(0).write()[0])
    found = outcomes(truth, Detections.concatenate([]), style)
    curves = precision_recall(found)
    assert set(np.unique(curves[found.instances > 0])) == {0.0}
    assert np.isnan(curves[found.instances == 0]).all()
    assert operating_point(found) is None
    measured = reliability(found, np.ones(len(truth.category_ids), bool))
    assert not measured.counts.any()
    assert np.isnan(measured.error)


def test_reliability_by_hand() -> None:
    """Bin .9: two detections, one right; bin .2: one, wrong; the ignored one does not count."""
    found = hand_made([0.95, 0.91, 0.25, 0.93, 1.4], [1, 0, 0, -1, 1], 3)
    measured = reliability(found, np.array([True]))
    assert measured.counts.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 3]
    assert measured.scores[9] == pytest.approx((0.95 + 0.91 + 1.4) / 3)
    assert measured.shares[[2, 9]].tolist() == pytest.approx([0, 2 / 3])
    expected = (abs(0.25 - 0) * 1 + abs((0.95 + 0.91 + 1.4) / 3 - 2 / 3) * 3) / 4
    assert measured.error == pytest.approx(expected)
    assert not reliability(found, np.array([False])).counts.any()


def test_the_operating_point_by_hand() -> None:
    """F1 after each score: .9: 2/5, .8 (both): 4/7, .5: 4/8."""
    found = hand_made([0.9, 0.8, 0.8, 0.5], [1, 1, 0, 0], 4)
    point = operating_point(found)
    assert point is not None
    assert point.score == 0.8
    assert point.f1 == pytest.approx(4 / 7)
    assert (point.precision, point.recall) == (pytest.approx(2 / 3), pytest.approx(1 / 2))
