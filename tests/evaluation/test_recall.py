"""Class-agnostic recall against pycocotools with useCats = 0 and against cases worked by hand."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from unidet.evaluation.recall import recall_metrics, recall_of_parts
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results
from unidet.records import Detections

CAPS = [10, 100, 300, 1000]


def recall_of_files(truth_path: Path, results_path: Path) -> dict[str, float]:
    truth = read_ground_truth(truth_path)
    return recall_metrics(truth, read_results(results_path, truth, class_agnostic=True))


def pycocotools_recall(truth_path: Path, results_path: Path) -> dict[str, float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
        evaluation = COCOeval(truth, truth.loadRes(str(results_path)), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = CAPS
        evaluation.evaluate()
        evaluation.accumulate()
    recall = evaluation.eval["recall"]  # thresholds, 1, areas, caps
    metrics = {
        f"AR{letter}@{cap}": recall[:, 0, area, column].mean()
        for area, letter in enumerate(("", "s", "m", "l"))
        for column, cap in enumerate(CAPS)
    }
    for letter in ("", "s", "m", "l"):
        means = [metrics[f"AR{letter}@{cap}"] for cap in CAPS]
        under = np.trapz(means, np.log10(CAPS)) / 2
        metrics[f"AUC{letter}"] = -1 if means[0] == -1 else under
    metrics["R50@300"] = recall[0, 0, 0, 2]
    return metrics


@pytest.mark.parametrize("seed", range(8))
def test_random_worlds_with_crowds_and_ties_equal_pycocotools(
    seed: int, make_world: Callable
) -> None:
    truth, results = make_world(seed, with_crowds=True).write()
    ours = recall_of_files(truth, results)
    assert ours == pytest.approx(pycocotools_recall(truth, results), abs=1e-9)
    assert 0 < ours["AR@10"] < ours["AR@100"] < 1


def test_more_than_1000_proposals_of_an_image_equal_pycocotools(make_world: Callable) -> None:
    truth, results = make_world(30, images=2, detections=2500).write()
    ours = recall_of_files(truth, results)
    assert ours == pytest.approx(pycocotools_recall(truth, results), abs=1e-9)


def test_an_annotation_with_id_zero_equals_pycocotools(make_world: Callable) -> None:
    world = make_world(31)
    world.truth["annotations"][0]["id"] = 0
    truth, results = world.write()
    ours = recall_of_files(truth, results)
    assert ours == pytest.approx(pycocotools_recall(truth, results), abs=1e-9)


def test_of_boxes_with_equal_overlap_the_one_of_the_last_category_is_taken(
    make_world: Callable,
) -> None:
    world = make_world(0, images=1, categories=2)
    image = world.truth["images"][0]["id"]
    categories = sorted(record["id"] for record in world.truth["categories"])
    boxes = [[4.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 10.0]]
    proposed = [[2.0, 0.0, 10.0, 10.0], [6.0, 0.0, 10.0, 10.0]]
    world.truth["annotations"] = [
        {
            "id": row + 1,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": 100.0,
            "iscrowd": 0,
        }
        for row, (box, category) in enumerate(zip(boxes, reversed(categories), strict=True))
    ]
    world.results = [
        {"image_id": image, "category_id": categories[0], "bbox": box, "score": 1 / (row + 2)}
        for row, box in enumerate(proposed)
    ]
    truth, results = world.write()
    ours = recall_of_files(truth, results)
    assert ours == pytest.approx(pycocotools_recall(truth, results), abs=1e-9)
    # the first detection takes the box of the later category, and none is left for the second
    assert ours["R50@300"] == pytest.approx(0.5)


def test_values_worked_by_hand(make_world: Callable) -> None:
    world = make_world(0, images=1, categories=1)
    image, category = world.truth["images"][0]["id"], world.truth["categories"][0]["id"]
    # a small and a large box; only the large one is found, by the eleventh proposal, at IoU .8
    boxes = [[0.0, 0.0, 20.0, 20.0], [0.0, 100.0, 100.0, 100.0]]
    world.truth["annotations"] = [
        {
            "id": row + 1,
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "area": box[2] * box[3],
        }
        for row, box in enumerate(boxes)
    ]
    misses = [[250.0, 250.0, 9.0, 9.0]] * 10
    world.results = [
        {"image_id": image, "bbox": box, "score": 1 - row / 100}
        for row, box in enumerate([*misses, [0.0, 100.0, 100.0, 80.0]])
    ]
    metrics = recall_of_files(*world.write())
    assert metrics["AR@10"] == 0
    # found at .5 .55 .6 .65 .7 .75 .8: 7 of 10 thresholds, one of two boxes
    assert metrics["AR@100"] == metrics["AR@1000"] == pytest.approx(0.35)
    # 0 at 10, .35 from 100 to 1000: half of .35 in the first decade, all of it in the second
    assert metrics["AUC"] == pytest.approx((0.175 + 0.35) / 2)
    assert metrics["ARl@300"] == pytest.approx(0.7)
    assert metrics["AUCl"] == pytest.approx((0.35 + 0.7) / 2)
    assert metrics["AUCm"] == -1
    assert metrics["ARs@300"] == 0
    assert metrics["ARm@300"] == -1
    assert metrics["R50@300"] == pytest.approx(0.5)


def test_parts_of_the_images_give_the_same_to_the_digit(make_world: Callable) -> None:
    truth_path, results_path = make_world(3, images=7).write()
    truth = read_ground_truth(truth_path)
    proposals = read_results(results_path, truth, class_agnostic=True)
    ids = np.random.default_rng(0).permutation(truth.image_ids)
    parts = [
        proposals.take(np.isin(proposals.image_ids, some)) for some in np.split(ids, [2, 2, 5])
    ]
    assert recall_of_parts(truth, parts) == recall_metrics(truth, proposals)


def test_no_proposals_find_nothing(make_world: Callable) -> None:
    truth = read_ground_truth(make_world(0).write()[0])
    metrics = recall_metrics(truth, Detections.concatenate([]))
    assert metrics["AR@1000"] == metrics["R50@300"] == 0


def test_nothing_annotated_is_undefined(make_world: Callable) -> None:
    world = make_world(0)
    world.truth["annotations"] = []
    metrics = recall_of_files(*world.write())
    assert set(metrics.values()) == {-1.0}


def test_400_images_of_1000_proposals_take_about_a_second(make_world: Callable) -> None:
    truth = read_ground_truth(make_world(2, images=400, detections=0).write()[0])
    rng = np.random.default_rng(0)
    count = 400 * 1000
    proposals = Detections(
        np.repeat(truth.image_ids, 1000),
        np.zeros(count, dtype=np.int64),
        np.concatenate([rng.uniform(0, 100, (count, 2)), rng.uniform(8, 128, (count, 2))], 1),
        rng.random(count),
    )
    start = time.process_time()
    recall_metrics(truth, proposals)
    elapsed = time.process_time() - start
    print(f"{elapsed:.2f} s")
    assert elapsed < 2.0
