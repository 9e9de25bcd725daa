"""Our LVIS evaluator against the lvis package and against cases worked by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.evaluation.lvis import evaluate_lvis, lvis_metrics
from unidet.evaluation.lvis_package import lvis_package_metrics
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.records import Detections

KEYS = [
    "AP",
    "AP50",
    "AP75",
    "APs",
    "APm",
    "APl",
    "APr",
    "APc",
    "APf",
    "AR@300",
    "ARs@300",
    "ARm@300",
    "ARl@300",
]


def lvis_of_files(truth_path: Path, results_path: Path) -> dict[str, float]:
    truth = read_ground_truth(truth_path)
    return lvis_metrics(truth, read_results(results_path, truth))


def assert_equals_package(world: Any) -> dict[str, float]:
    truth, results = world.write()
    ours = lvis_of_files(truth, results)
    package = lvis_package_metrics(truth, results)
    assert list(ours) == list(package) == KEYS
    assert ours == pytest.approx(package, abs=1e-9)
    return ours


@pytest.mark.parametrize("seed", range(12))
def test_random_worlds_with_ties_equal_the_package(seed: int, make_world: Callable) -> None:
    metrics = assert_equals_package(make_world(seed))
    assert 0.05 < metrics["AP"] < 0.95


def test_more_than_300_detections_of_an_image_equal_the_package(make_world: Callable) -> None:
    world = make_world(20, images=3, categories=4, detections=900)
    counts = np.unique([record["image_id"] for record in world.results], return_counts=True)[1]
    assert counts.max() > 300
    assert_equals_package(world)


def test_one_image_and_one_category_equal_the_package(make_world: Callable) -> None:
    assert_equals_package(make_world(3, images=1, categories=1, detections=30))


def test_a_frequency_without_categories_is_undefined(make_world: Callable) -> None:
    metrics = assert_equals_package(make_world(4, frequencies="rc"))
    assert metrics["APf"] == -1


def test_degenerate_boxes_equal_the_package(make_world: Callable) -> None:
    world = make_world(5)
    for record in world.results[::3]:
        record["bbox"][2] = 0.0
    for record in world.truth["annotations"][::4]:
        record["area"] = 0.0
    assert_equals_package(world)


@pytest.mark.parametrize("ignored", [0, 1])
def test_an_annotation_with_id_zero_equals_the_package(ignored: int, make_world: Callable) -> None:
    world = make_world(6)
    world.truth["annotations"][2].update(id=0, ignore=ignored)
    assert_equals_package(world)


def shrunk_to(world: Any, boxes: list[list[float]], detected: list[list[float]]) -> Any:
    """The world with these boxes of one category in one image, and detections, best first."""
    image, category = world.truth["images"][0]["id"], world.truth["categories"][0]["id"]
    here = {"image_id": image, "category_id": category}
    world.truth["annotations"] = [
        {**here, "id": row + 1, "bbox": box, "area": box[2] * box[3]}
        for row, box in enumerate(boxes)
    ]
    world.truth["images"][0].update(neg_category_ids=[], not_exhaustive_category_ids=[])
    world.results = [
        {**here, "bbox": box, "score": 1 / (2 + row)} for row, box in enumerate(detected)
    ]
    return world


def test_of_boxes_with_equal_overlap_the_last_is_taken(make_world: Callable) -> None:
    # the better detection overlaps both boxes by 2/3, the other only the last one
    boxes = [[0.0, 0.0, 10.0, 10.0], [4.0, 0.0, 10.0, 10.0]]
    detected = [[2.0, 0.0, 10.0, 10.0], [6.0, 0.0, 10.0, 10.0]]
    metrics = assert_equals_package(shrunk_to(make_world(0), boxes, detected))
    # one of two boxes at IoU .5 .55 .6 .65
    assert metrics["AR@300"] == pytest.approx(0.2)


def test_the_301st_detection_of_an_image_is_too_late(make_world: Callable) -> None:
    box, miss = [0.0, 0.0, 50.0, 50.0], [200.0, 0.0, 50.0, 50.0]
    world = make_world(0)
    assert assert_equals_package(shrunk_to(world, [box], [miss] * 299 + [box]))["AR@300"] == 1
    assert assert_equals_package(shrunk_to(world, [box], [miss] * 300 + [box]))["AR@300"] == 0


def test_categories_nobody_detects_equal_the_package(make_world: Callable) -> None:
    world = make_world(7)
    left_out = world.truth["categories"][0]["id"]
    world.results = [record for record in world.results if record["category_id"] != left_out]
    assert_equals_package(world)


def test_detections_of_unverified_categories_equal_the_package(make_world: Callable) -> None:
    world = make_world(8)
    for image in world.truth["images"]:
        image["neg_category_ids"] = []
    empty = [
        image["id"]
        for image in world.truth["images"]
        if image["id"] not in {record["image_id"] for record in world.truth["annotations"]}
    ]
    world.results = [record for record in world.results if record["image_id"] in empty]
    assert world.results
    metrics = assert_equals_package(world)
    assert metrics["AP"] == 0


def test_no_annotations_at_all_is_undefined_everywhere(make_world: Callable) -> None:
    world = make_world(9)
    world.truth["annotations"] = []
    metrics = assert_equals_package(world)
    assert set(metrics.values()) == {-1.0}


def test_real_lvis_annotations_equal_the_package(reference: Path, tmp_path: Path) -> None:
    truth = reference / "bench" / "lvis" / "lvis_v0.5_val_100.json"
    if not truth.is_file():
        pytest.skip("no real LVIS annotations in the reference folder")
    rng = np.random.default_rng(0)
    annotations = json.loads(truth.read_text())["annotations"]
    records = [
        {
            "image_id": source["image_id"],
            "category_id": source["category_id"] if rng.random() < 0.8 else 1,
            "bbox": [float(value) for value in np.array(source["bbox"]) * rng.normal(1, 0.08, 4)],
            "score": float(rng.random()),
        }
        for source in annotations * 3
    ]
    results = tmp_path / "results.json"
    results.write_text(json.dumps(records))
    ours = lvis_of_files(truth, results)
    assert ours == pytest.approx(lvis_package_metrics(truth, results), abs=1e-9)
    assert ours["AP"] > 0.1


def hand_world(tmp_path: Path) -> tuple[Path, Path]:
    """Two categories, each with one 50 x 50 box; the first is found second, the other first."""
    box, elsewhere = [0.0, 0.0, 50.0, 50.0], [200.0, 0.0, 50.0, 50.0]
    truth = {
        "images": [{"id": 1, "neg_category_ids": [], "not_exhaustive_category_ids": []}],
        "categories": [
            {"id": 1, "name": "star", "frequency": "r", "is_novel": True},
            {"id": 2, "name": "ring", "frequency": "f", "is_novel": False},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": box, "area": 2500},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": box, "area": 2500},
        ],
    }
    results = [
        {"image_id": 1, "category_id": 1, "bbox": elsewhere, "score": 0.9},
        {"image_id": 1, "category_id": 1, "bbox": box, "score": 0.8},
        # IoU 40/60 = .667 with the ring: a hit at thresholds .5 .55 .6 .65, 4 of 10
        {"image_id": 1, "category_id": 2, "bbox": [10.0, 0.0, 50.0, 50.0], "score": 0.7},
    ]
    paths = tmp_path / "truth.json", tmp_path / "results.json"
    for path, document in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(document))
    return paths


def test_values_worked_by_hand(tmp_path: Path) -> None:
    metrics = lvis_of_files(*hand_world(tmp_path))
    # star: precision 1/2 at every recall and threshold; ring: 1 at 4 of 10 thresholds
    assert metrics["APr"] == pytest.approx(0.5)
    assert metrics["APf"] == pytest.approx(0.4)
    assert metrics["APc"] == -1
    assert metrics["AP"] == pytest.approx(0.45)
    assert metrics["AP50"] == pytest.approx(0.75)
    assert metrics["AP75"] == pytest.approx(0.25)
    assert metrics["APm"] == pytest.approx(0.45)
    assert metrics["APs"] == metrics["APl"] == -1
    assert metrics["AR@300"] == pytest.approx(0.7)
    assert metrics["AP_novel"] == pytest.approx(0.5)
    assert metrics["AP_base"] == pytest.approx(0.4)


def test_novelty_may_be_given_by_name_or_id_and_must_be_complete(tmp_path: Path) -> None:
    truth_path, results_path = hand_world(tmp_path)
    truth = read_ground_truth(truth_path)
    detections = read_results(results_path, truth)
    by_name = lvis_metrics(truth, detections, {"star": False, "ring": True})
    by_id = lvis_metrics(truth, detections, {1: False, 2: True})
    assert by_name == by_id
    assert by_name["AP_novel"] == pytest.approx(0.4)
    all_base = lvis_metrics(truth, detections, {1: False, 2: False})
    assert (all_base["AP_base"], all_base["AP_novel"]) == (pytest.approx(0.45), -1)
    with pytest.raises(UserError, match=r"category 2 \(ring\)"):
        lvis_metrics(truth, detections, {"star": False})


def test_no_detections_score_zero(tmp_path: Path) -> None:
    truth = read_ground_truth(hand_world(tmp_path)[0])
    metrics = lvis_metrics(truth, Detections.concatenate([]))
    assert metrics["AP"] == metrics["AR@300"] == metrics["APr"] == 0
    assert metrics["APc"] == -1


def test_an_unknown_image_in_memory_is_refused(tmp_path: Path) -> None:
    truth = read_ground_truth(hand_world(tmp_path)[0])
    stray = Detections(np.array([7]), np.array([1]), np.ones((1, 4)), np.ones(1))
    with pytest.raises(ValueError, match="image 7"):
        evaluate_lvis(truth, stray)


def test_ground_truth_without_negative_lists_is_refused(make_world: Callable) -> None:
    world = make_world(1)
    del world.truth["images"][3]["neg_category_ids"]
    with pytest.raises(UserError, match="style coco"):
        lvis_of_files(*world.write())


def test_400_images_of_300_detections_take_well_under_a_second(make_world: Callable) -> None:
    truth = read_ground_truth(make_world(2, images=400, categories=72, detections=0).write()[0])
    rng = np.random.default_rng(0)
    count = 400 * 300
    detections = Detections(
        np.repeat(truth.image_ids, 300),
        rng.choice(truth.category_ids, count),
        np.concatenate([rng.uniform(0, 100, (count, 2)), rng.uniform(8, 128, (count, 2))], 1),
        rng.random(count),
    )
    start = time.process_time()
    evaluate_lvis(truth, detections)
    assert time.process_time() - start < 1.0
