"""COCO AP under our keys equals what pycocotools says of the files, and prints nothing."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from unidet.evaluation.coco import coco_metrics
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
    "AR@1",
    "AR@10",
    "AR@100",
    "ARs",
    "ARm",
    "ARl",
]


def coco_of_files(truth_path: Path, results_path: Path) -> dict[str, float]:
    truth = read_ground_truth(truth_path)
    return coco_metrics(truth, read_results(results_path, truth))


@pytest.mark.parametrize("seed", range(3))
def test_files_give_what_pycocotools_gives(
    seed: int, make_world: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    world = make_world(seed, with_crowds=True)
    for image in world.truth["images"]:
        del image["neg_category_ids"]
    truth_path, results_path = world.write()
    ours = coco_of_files(truth_path, results_path)
    assert capsys.readouterr() == ("", "")

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(truth_path))
        evaluation = COCOeval(truth, truth.loadRes(str(results_path)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert list(ours) == KEYS
    assert list(ours.values()) == pytest.approx(list(evaluation.stats), abs=1e-12)
    assert ours["AP"] > 0.02


def test_no_detections_score_zero(make_world: Callable) -> None:
    truth = read_ground_truth(make_world(0).write()[0])
    metrics = coco_metrics(truth, Detections.concatenate([]))
    assert metrics["AP"] == metrics["AR@100"] == 0
