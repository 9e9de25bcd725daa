"""Results files: faults are named by file and record; what is written loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.formats import json_window
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_results, repeated_detections, write_results
from unidet.records import Detections


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
    "unknown image": (
        record(image_id=5),
        "detections[2]: image_id 5 is not among the 2 images of {truth}, whose ids are 4, 9; where "
        "it is the number in a file's name, as some detectors write, put that image's id",
    ),
    "unknown category": (
        record(category_id=2),
        "detections[2]: category_id 2 is not among the 2 categories of {truth}, whose ids are 1, 3",
    ),
    "image above all": (record(image_id=99), "detections[2]: image_id 99"),
    "nan score": (
        record(score=float("nan")),
        "detections[2]: 'score' is nan, must be a finite number",
    ),
    "infinite score": (record(score=float("inf")), "detections[2]: 'score' is inf, must"),
    "null score": (record(score=None), "detections[2]: 'score' is None, must"),
    "text score": (
        record(score="0.5"),
        "detections[2]: 'score' is '0.5', must be a number without quotation marks",
    ),
    "huge integer": (record(score=10**30), "detections[2]: 'score' is 1000"),
    "nan box": (
        record(bbox=[0, float("nan"), 1, 1]),
        "detections[2]: 'bbox' is [0, nan, 1, 1], must",
    ),
    "short box": (
        record(bbox=[0, 1, 1]),
        "detections[2]: 'bbox' is [0, 1, 1], must be [x, y, width, height]",
    ),
    "negative box": (
        record(bbox=[0, 0, 5, -1]),
        "detections[2]: 'bbox' is [0, 0, 5, -1], must be [x, y, width, height], no side",
    ),
    "true score": (record(score=True), "detections[2]: 'score' is True, must be a number"),
    "true id": (record(image_id=True), "detections[2]: 'image_id' is True, must be a whole"),
    "huge id": (record(image_id=2**63), "detections[2]: 'image_id' is 9223372036854775808"),
    "text id": (record(category_id="3"), "detections[2]: 'category_id' is '3', must be a whole"),
    "text in a box": (record(bbox=[0, 1, "2", 1]), "detections[2]: 'bbox' is [0, 1, '2', 1]"),
    "true in a box": (record(bbox=[0, 1, True, 1]), "detections[2]: 'bbox' is [0, 1, True, 1]"),
    "long number": (record(bbox=[0, 1, 1, 10**400]), "detections[2]: 'bbox' is [0, 1, 1, 1000"),
    "no box": (lacking("bbox"), "detections[2]: 'bbox' is missing"),
    "no score": (lacking("score"), "detections[2]: 'score' is missing"),
    "no image": (lacking("image_id"), "detections[2]: 'image_id' is missing"),
    "no category": (lacking("category_id"), "detections[2]: 'category_id' is missing"),
    "fractional id": (
        record(image_id=4.5),
        "detections[2]: 'image_id' is 4.5, must be a whole number",
    ),
    "file name as id": (
        record(image_id="0001.jpg"),
        "detections[2]: 'image_id' is '0001.jpg', must be a whole number: the id of one of the "
        "images of {truth} (4, 9), not its name",
    ),
    "no object": ([1, 2], "detections[2]: is [1, 2], must be an object"),
}


@pytest.mark.parametrize("fault", FAULTY_RESULTS)
@pytest.mark.parametrize("piece", [1, 50, 65536])
def test_a_faulty_detection_is_named(
    fault: str, piece: int, truth_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_window, "PIECE", piece)
    faulty, message = FAULTY_RESULTS[fault]
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record(), record(), faulty, record()]))
    with pytest.raises(UserError) as raised:
        read_results(path, read_ground_truth(truth_path))
    wanted = message.replace("{truth}", str(truth_path))
    assert str(raised.value).startswith(f"{path}: {wanted}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty: fetch or write it again"),
        ("[", "malformed JSON at line 1, column 2"),
        ('[{"image_id": 4}\n {"image_id": 4}]', "malformed JSON at line 2, column 2"),
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


@pytest.mark.parametrize("piece", [1, 90, 65536])
def test_records_are_read_in_order_whatever_the_batch(
    piece: int, truth_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_window, "PIECE", piece)
    path = tmp_path / "results.json"
    path.write_text(
        json.dumps([record(score=row, image_id=(4, 9)[row % 2]) for row in range(6)], indent=1)
    )
    detections = read_results(path, read_ground_truth(truth_path))
    assert detections.scores.tolist() == [0, 1, 2, 3, 4, 5]
    assert detections.image_ids.tolist() == [4, 9] * 3
    assert detections.boxes_xywh.shape == (6, 4)


def test_a_written_file_is_the_detections_in_memory(truth_path: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    count = 30
    detections = Detections(
        rng.choice([4, 9], count),
        rng.choice([1, 3], count),
        np.round(rng.uniform(0, 2, (count, 4)), 2),
        # neighbours in float32: fewer digits would make them ties
        (0.1 + np.spacing(np.float32(0.1)) * rng.permutation(count)).astype(np.float32),
    )
    assert len(np.unique(detections.scores)) == count
    path = tmp_path / "written.json"
    write_results(path, detections)
    again = read_results(path, read_ground_truth(truth_path))
    assert np.array_equal(again.boxes_xywh, detections.boxes_xywh)
    assert np.array_equal(again.scores.astype(np.float32), detections.scores)
    assert np.array_equal(again.image_ids, detections.image_ids)
    assert np.array_equal(again.category_ids, detections.category_ids)
    assert json.loads(path.read_text())[1].keys() == record().keys()


def test_whole_numbers_may_be_written_as_fractions(truth_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps([record(image_id=4.0, category_id=3.0)]))
    read = read_results(path, read_ground_truth(truth_path))
    assert (read.image_ids.tolist(), read.category_ids.tolist()) == ([4], [3])


def test_boxes_in_another_frame_are_refused(truth_path: Path, tmp_path: Path) -> None:
    """All in 0..1; and corners, three of which reach over the 20x10 pixels as x, y, w, h."""
    path = tmp_path / "results.json"
    truth = read_ground_truth(truth_path)
    path.write_text(json.dumps([record(bbox=[0.1, 0, 0.5, 1]), record(bbox=[0, 0, 1, 1])]))
    with pytest.raises(UserError, match=r"all 2 boxes of its detections lie in 0\.\.1"):
        read_results(path, truth)
    sized = document()
    for image in sized["images"]:
        image |= {"width": 20, "height": 10}
    truth_path.write_text(json.dumps(sized))
    truth = read_ground_truth(truth_path)
    corners = [[1, 1, 5, 5], [0, 2, 9, 8], [12, 1, 18, 9], [3, 6, 9, 9], [15, 5, 20, 10]]
    path.write_text(json.dumps([record(bbox=box) for box in corners]))
    with pytest.raises(UserError, match="3 of the 5 boxes of its detections reach over"):
        read_results(path, truth)
    path.write_text(json.dumps([record(bbox=box) for box in corners[2:]]))
    assert len(read_results(path, truth)) == 3  # so few may be by accident


def test_scores_of_a_file_keep_their_64_bits(truth_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    score = 0.1 + 2**-55
    path.write_text(json.dumps([record(score=score)]))
    truth = read_ground_truth(truth_path)
    write_results(path, read_results(path, truth))
    assert read_results(path, truth).scores.tolist() == [score]


def test_detections_that_are_there_twice_are_counted(truth_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    others = [record(score=0.25), record(image_id=9), record(bbox=[0, 0, 5, 6])]
    for records, count in (
        ([record()], 0),
        ([record(), *others], 0),
        ([record(bbox=[zero, 0, 5, 6]) for zero in (0, 0.0, -0.0)], 2),
        ([record(), *others, record(), *others, record()], 5),
    ):
        path.write_text(json.dumps(records))
        assert repeated_detections(read_results(path, read_ground_truth(truth_path))) == count


def test_no_detections_are_written_as_an_empty_list(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, Detections.concatenate([]))
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
