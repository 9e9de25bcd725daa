"""COCO AP under our keys equals what pycocotools says of the files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unidet.evaluation.coco import coco_metrics
from unidet.evaluation.pycocotools_package import pycocotools_metrics
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.records import Detections


def assert_equals_pycocotools(world: Any) -> dict[str, float]:
    for image in world.truth["images"]:
        image.pop("neg_category_ids", None)
    truth_path, results_path = world.write()
    truth = read_ground_truth(truth_path)
    ours = coco_metrics(truth, read_results(results_path, truth))
    official = pycocotools_metrics(truth_path, results_path)
    assert list(ours) == list(official)
    assert ours == pytest.approx(official, abs=1e-12)
    return ours


@pytest.mark.parametrize("with_crowds", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_random_worlds_with_ties_equal_pycocotools(
    seed: int, with_crowds: bool, make_world: Callable
) -> None:
    world = make_world(seed, with_crowds=with_crowds, detections=400)
    assert assert_equals_pycocotools(world)["AP"] > 0.02


def test_a_crowd_is_matched_any_number_of_times(make_world: Callable) -> None:
    """Half of the categories' boxes are crowds, and most detections lie in one."""
    world = make_world(5, images=3, categories=2, detections=60)
    for annotation in world.truth["annotations"][::2]:
        annotation.update(iscrowd=1, bbox=[0.0, 0.0, 200.0, 200.0])
    assert_equals_pycocotools(world)


def test_more_than_a_hundred_detections_of_an_image_and_category(make_world: Callable) -> None:
    world = make_world(20, images=2, categories=2, detections=900)
    pairs = [(record["image_id"], record["category_id"]) for record in world.results]
    assert np.unique(pairs, axis=0, return_counts=True)[1].max() > 100
    assert_equals_pycocotools(world)


def test_an_annotation_with_id_zero_equals_pycocotools(make_world: Callable) -> None:
    world = make_world(31, detections=400)
    before = assert_equals_pycocotools(world)
    world.truth["annotations"][0]["id"] = 0
    assert assert_equals_pycocotools(world) != before


def test_degenerate_boxes_and_silent_categories_equal_pycocotools(make_world: Callable) -> None:
    world = make_world(7, detections=200)
    world.truth["annotations"][0].update(area=0.0)
    world.results[0]["bbox"][2] = 0.0
    silent = world.truth["categories"][1]["id"]
    world.results = [record for record in world.results if record["category_id"] != silent]
    assert_equals_pycocotools(world)


def test_no_detections_score_zero(make_world: Callable) -> None:
    truth = read_ground_truth(make_world(0).write()[0])
    metrics = coco_metrics(truth, Detections.concatenate([]))
    assert metrics["AP"] == metrics["AR@100"] == 0


def test_nothing_annotated_is_undefined_everywhere(make_world: Callable) -> None:
    world = make_world(0)
    world.truth["annotations"] = []
    assert set(assert_equals_pycocotools(world).values()) == {-1.0}
