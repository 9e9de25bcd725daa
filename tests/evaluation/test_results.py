"""Reading results and ground truth: faults are named by file and record; files lose nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.evaluation import json_records
from unidet.evaluation.evaluate import evaluate
from unidet.evaluation.ground_truth import read_ground_truth
from unidet.evaluation.lvis import lvis_metrics
from unidet.evaluation.results import Detections, concatenate, read_results, write_results


@pytest.fixture
def truth_path(tmp_path: Path) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document()))
    return path


def document() -> dict[str, Any]:
    return {
        "images": [{"id": 9}, {"id": 4}],
        "categories": [{"id": 3, "name": "b"}, {"id": 1, "name": "a"}],
        "annotations": [
            {"id": 1, "image_id": 4, "category_id": 3, "bbox": [0, 0, 5, 5], "area": 25},
            {"id": 2, "image_id": 9, "category_id": 1, "bbox": [1, 1, 4, 4.5], "area": 18},
        ],
    }


def record(**changes: Any) -> dict[str, Any]:
    return {"image_id": 4, "category_id": 3, "bbox": [0, 0, 5, 5], "score": 0.5} | changes


def lacking(key: str) -> dict[str, Any]:
    return {name: value for name, value in record().items() if name != key}


FAULTY_RESULTS = {
    "unknown image": (record(image_id=5), "detection 2: image_id 5 is not in the ground truth"),
    "unknown category": (record(category_id=2), "detection 2: category_id 2 is not in the"),
    "image above all": (record(image_id=99), "detection 2: image_id 99"),
    "nan score": (record(score=float("nan")), 'detection 2: "score" is nan, expected a finite'),
    "infinite score": (record(score=float("inf")), 'detection 2: "score" is inf'),
    "null score": (record(score=None), 'detection 2: "score" is None'),
    "text score": (record(score="0.5"), "detection 2: \"score\" is '0.5'"),
    "huge integer": (record(score=10**30), 'detection 2: "score" is 1000'),
    "nan box": (record(bbox=[0, float("nan"), 1, 1]), 'detection 2: "bbox" is [0, nan, 1, 1]'),
    "short box": (record(bbox=[0, 1, 1]), 'detection 2: "bbox" is [0, 1, 1], expected [x, y'),
    "negative box": (record(bbox=[0, 0, 5, -1]), "detection 2: bbox [0.0, 0.0, 5.0, -1.0] has a"),
    "no box": (lacking("bbox"), 'detection 2: lacks "bbox"'),
    "no score": (lacking("score"), 'detection 2: lacks "score"'),
    "no image": (lacking("image_id"), 'detection 2: lacks "image_id"'),
    "no category": (lacking("category_id"), 'detection 2: lacks "category_id"'),
    "fractional id": (record(image_id=4.5), 'detection 2: "image_id" is 4.5, expected an integer'),
    "no object": ([1, 2], "detection 2: is [1, 2], expected an object"),
}


@pytest.mark.parametrize("fault", FAULTY_RESULTS)
@pytest.mark.parametrize("batch", [1, 2, 65536])
def test_a_faulty_detection_is_named(
    fault: str, batch: int, truth_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "RECORDS_PER_BATCH", batch)
    faulty, message = FAULTY_RESULTS[fault]
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record(), record(), faulty, record()]))
    with pytest.raises(UserError) as raised:
        read_results(path, read_ground_truth(truth_path))
    assert str(raised.value).startswith(f"{path}: {message}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "malformed JSON at line 1, column 1"),
        ("[", "malformed JSON at line 1, column 2"),
        ('[{"image_id": 4}\n {"image_id": 4}]', "malformed JSON at line 1, column 17"),
        ('[{"image_id": 4},', "malformed JSON"),
        ('[{"image_id": 4', "malformed JSON"),
        ("[] 1", "malformed JSON at line 1, column 4: Extra data"),
        ('{"annotations": []}', "holds no list"),
        ("[]", "holds no detections"),
        (" [ \n ] \n", "holds no detections"),
    ],
)
def test_a_file_that_is_no_list_of_detections_is_refused(
    text: str, message: str, truth_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_results(path, read_ground_truth(truth_path))
    assert str(raised.value).startswith(f"{path}: {message}")


def test_files_that_cannot_be_read_are_refused(truth_path: Path, tmp_path: Path) -> None:
    truth = read_ground_truth(truth_path)
    (tmp_path / "image.json").write_bytes(b"\x89PNG\xff\xfe")
    for name, message in (
        ("none.json", "no such file"),
        ("image.json", "not a JSON text"),
        ("", "cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            read_results(tmp_path / name, truth)


@pytest.mark.parametrize("batch", [1, 3, 65536])
def test_records_are_read_in_order_whatever_the_batch(
    batch: int, truth_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_records, "RECORDS_PER_BATCH", batch)
    path = tmp_path / "results.json"
    path.write_text(
        json.dumps([record(score=row, image_id=(4, 9)[row % 2]) for row in range(6)], indent=1)
    )
    detections = read_results(path, read_ground_truth(truth_path))
    assert detections.scores.tolist() == [0, 1, 2, 3, 4, 5]
    assert detections.image_ids.tolist() == [4, 9] * 3
    assert detections.boxes_xywh.shape == (6, 4)


def changed(key: str, row: int, **changes: Any) -> dict[str, Any]:
    faulty = document()
    faulty[key][row].update(changes)
    return faulty


FAULTY_TRUTHS = {
    "image twice": (changed("images", 1, id=9), "image 1: id 9 was used before"),
    "category twice": (changed("categories", 1, id=3), "category 1: id 3 was used before"),
    "annotation twice": (changed("annotations", 1, id=1), "annotation 1: id 1 was used before"),
    "unknown image": (changed("annotations", 1, image_id=5), "annotation 1: image_id 5 is not"),
    "unknown category": (changed("annotations", 0, category_id=7), "annotation 0: category_id 7"),
    "nan box": (changed("annotations", 0, bbox=[0, 0, float("nan"), 1]), "annotation 0: "),
    "nan area": (changed("annotations", 1, area=float("nan")), 'annotation 1: "area" is nan'),
    "frequency": (changed("categories", 0, frequency="x"), "category 3: frequency 'x', expected"),
    "no images": (document() | {"images": []}, '"images" is empty'),
    "no categories": (document() | {"categories": []}, '"categories" is empty'),
    "images missing": ({"annotations": [], "categories": [{"id": 1}]}, 'lacks the list "images"'),
    "no annotations": (
        {"images": [{"id": 1}], "categories": [{"id": 1}]},
        'lacks the list "annotations"',
    ),
    "a list": ([1], "holds no object"),
    "negatives": (
        document()
        | {"images": [{"id": 4, "neg_category_ids": 3}, {"id": 9, "neg_category_ids": []}]},
        "image 4: neg_category_ids is no list",
    ),
}


@pytest.mark.parametrize("fault", FAULTY_TRUTHS)
def test_faulty_ground_truth_is_named(fault: str, tmp_path: Path) -> None:
    faulty, message = FAULTY_TRUTHS[fault]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(faulty))
    with pytest.raises(UserError) as raised:
        read_ground_truth(path)
    assert str(raised.value).startswith(f"{path}: {message}")


def test_malformed_ground_truth_is_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document())[:-5])
    with pytest.raises(UserError, match="malformed JSON"):
        read_ground_truth(path)


def test_ground_truth_columns_are_sorted_by_id(truth_path: Path) -> None:
    truth = read_ground_truth(truth_path)
    assert truth.image_ids.tolist() == [4, 9]
    assert truth.category_ids.tolist() == [1, 3]
    assert truth.category_names == ("a", "b")
    assert truth.image_rows.tolist() == [0, 1]
    assert truth.category_rows.tolist() == [1, 0]
    assert truth.negatives is None
    assert truth.novel is None


def test_an_unknown_style_is_refused(truth_path: Path) -> None:
    with pytest.raises(UserError, match="one of lvis, coco, proposals"):
        evaluate(truth_path, truth_path, "pascal")


def test_a_written_file_gives_the_metrics_of_the_detections_in_memory(
    make_world: Callable, tmp_path: Path
) -> None:
    truth_path, results_path = make_world(0).write()
    truth = read_ground_truth(truth_path)
    read = read_results(results_path, truth)
    rng = np.random.default_rng(0)
    detections = Detections(
        read.image_ids,
        read.category_ids,
        np.round(read.boxes_xywh + rng.uniform(0, 2, read.boxes_xywh.shape), 2),
        # neighbours in float32: fewer digits would make them ties
        (0.1 + np.spacing(np.float32(0.1)) * rng.permutation(len(read))).astype(np.float32),
    )
    assert len(np.unique(detections.scores)) == len(detections)
    assert detections.scores.dtype == np.float32
    path = tmp_path / "written.json"
    write_results(path, detections)
    again = read_results(path, truth)
    assert np.array_equal(again.boxes_xywh, detections.boxes_xywh)
    assert np.array_equal(again.scores.astype(np.float32), detections.scores)
    assert np.array_equal(again.image_ids, detections.image_ids)
    assert np.array_equal(again.category_ids, detections.category_ids)
    assert lvis_metrics(truth, again) == lvis_metrics(truth, detections)
    assert json.loads(path.read_text())[1].keys() == record().keys()


def test_scores_of_a_file_keep_their_64_bits(truth_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    score = 0.1 + 2**-55
    path.write_text(json.dumps([record(score=score)]))
    truth = read_ground_truth(truth_path)
    write_results(path, read_results(path, truth))
    assert read_results(path, truth).scores.tolist() == [score]


def test_no_detections_are_written_as_an_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, concatenate([]))
    assert json.loads(path.read_text()) == []


def test_top_keeps_the_best_of_every_image_in_place() -> None:
    detections = Detections(
        np.array([2, 1, 2, 2, 1]),
        np.arange(5),
        np.zeros((5, 4)),
        np.array([0.1, 0.5, 0.7, 0.7, 0.4]),
    )
    assert detections.top(1).category_ids.tolist() == [1, 2]
    assert detections.top(2).category_ids.tolist() == [1, 2, 3, 4]
    assert len(detections.top(9)) == 5
