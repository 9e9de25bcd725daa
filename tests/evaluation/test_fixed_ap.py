"""Fixed and pooled AP equal what the authors' own scripts say of the same problems."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unidet.evaluation.fixed_ap import fixed_ap_metrics
from unidet.evaluation.lvis import lvis_metrics
from unidet.evaluation.protocols import best_of_categories
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.records import Detections, GroundTruth

# by record_fixed_ap.py
RECORDED = json.loads(Path(__file__).with_name("fixed_ap.json").read_text())
MAX_PER_CATEGORY = 25


def problem(make_world: Callable, seed: int, detections: int) -> tuple[GroundTruth, Detections]:
    truth_path, results_path = make_world(seed, detections=detections).write()
    truth = read_ground_truth(truth_path)
    return truth, read_results(results_path, truth)


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_the_authors_scripts(seed: int, make_world: Callable) -> None:
    metrics = fixed_ap_metrics(*problem(make_world, seed, 80), max_per_category=MAX_PER_CATEGORY)
    recorded = RECORDED[str(seed)]
    expected = {f"{key}_fixed": value for key, value in recorded["fixed"].items()}
    for pool, value in recorded["pooled"].items():
        letter = pool.removeprefix("AP-pooled-").removeprefix("all")
        expected[f"AP{letter}_pooled"] = value
    assert metrics == pytest.approx(expected, abs=1e-9)
    assert 0.02 < metrics["AP_fixed"] != metrics["AP_pooled"]


def test_no_limit_of_an_image_holds(make_world: Callable) -> None:
    """More than 300 detections of an image: LVIS leaves some out, fixed AP none."""
    truth, detections = problem(make_world, 20, 900)
    fixed = fixed_ap_metrics(truth, detections)["AP_fixed"]
    assert fixed != pytest.approx(lvis_metrics(truth, detections)["AP"], abs=1e-6)
    few = detections.top(300)
    assert fixed_ap_metrics(truth, few)["AP_fixed"] == pytest.approx(
        lvis_metrics(truth, few)["AP"], abs=1e-12
    )


def test_the_best_of_each_category_are_kept() -> None:
    """Scores .1 .9 .5 of category 7 and .2 .2 of category 3: two of each, the earlier of equals."""
    detections = Detections(
        image_ids=np.arange(6),
        category_ids=np.array([7, 7, 3, 7, 3, 3]),
        boxes_xywh=np.zeros((6, 4)),
        scores=np.array([0.1, 0.9, 0.2, 0.5, 0.2, 0.2]),
    )
    kept = best_of_categories(detections, 2)
    assert kept.tolist() == [False, True, True, True, True, False]
