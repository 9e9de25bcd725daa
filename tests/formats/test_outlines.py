"""Boxes of annotations that have an outline or a mask alone, and boxes that CVAT turned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.data.own_data import read_own
from unidet.errors import UserError
from unidet.formats import scanner
from unidet.formats.annotations import annotations_of, read_annotations
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.labels.records import strictly
from unidet.formats.outlines import box_around, is_elsewhere
from unidet.formats.results import read_results
from unidet.pipelines.wiring.named_data import sets_in_folder

Document = dict[str, Any]
Write = Callable[[Document], Path]
TAKEN = "box that is missing: taken around the segmentation"
TURNED = "box that CVAT turned ('attributes'): read upright, as officially"
SHAPE = [[2, 1, 6, 1, 6, 4]]
"""A triangle around which the box is 2, 1, 4, 3."""


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        (SHAPE, [2, 1, 4, 3]),
        (SHAPE[0], [2, 1, 4, 3]),
        ([[2, 1, 6, 1, 6, 4], [8.5, 0, 9, 1, 8, 1]], [2, 0, 7, 4]),
        ([[2, 1, 6, 1, 6]], None),
        ([[2, 1]], None),
        ([["2", "1", "6", "4"]], None),
        ([[2, 1, float("nan"), 4]], None),
        ([[2, 1, float("inf"), float("-inf")]], None),
        ([[2, 1, 10**400, 4]], None),
        ([[2, 1, True, 4]], None),
        ([], None),
        ([[]], None),
        ("", None),
        (None, None),
        # 4 rows, 5 columns: rows 1 and 2 of column 1, row 2 of column 3
        ({"size": [4, 5], "counts": [5, 2, 7, 1, 5]}, [1, 1, 3, 2]),
        # a run from the last row of column 1 into column 2 touches the first and last row
        ({"size": [4, 5], "counts": [7, 3, 10]}, [1, 0, 2, 4]),
        ({"size": [4, 5], "counts": [0, 20]}, [0, 0, 5, 4]),
        ({"size": [4, 5], "counts": [20]}, None),
        ({"size": [4, 5], "counts": [5, 2]}, None),
        ({"size": [4, 5], "counts": [5, -2, 17]}, None),
        ({"size": [4], "counts": [20]}, None),
        ({"counts": [20]}, None),
        # the same as text: 5 "5", 2 "2", 7 "7"; then differences: 1 - 2 "O", 5 - 7 "N"
        ({"size": [4, 5], "counts": "527ON"}, [1, 1, 3, 2]),
        ({"size": [4, 5], "counts": "527O"}, None),
        ({"size": [4, 5], "counts": "527ON\n"}, None),
        ({"size": [40, 5], "counts": "T6"}, None),  # 200 of background
        ({"size": [40, 5], "counts": "0X6"}, [0, 0, 5, 40]),
    ],
)
def test_boxes_around(segmentation: Any, box: list[float] | None) -> None:
    assert box_around(segmentation) == box


def test_an_outline_that_no_image_has_gives_no_box(document: Document, write: Write) -> None:
    document["annotations"][0] |= {"segmentation": [[0, 0, 1e19, 1, 1, 1]]}
    del document["annotations"][0]["bbox"]
    with pytest.raises(UserError, match="'bbox' is missing"):
        read_ground_truth(write(document))


def test_masks_are_as_pycocotools_reads_them() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    random = np.random.default_rng(3)
    for _ in range(200):
        height, width = random.integers(1, 90, 2)
        pixels = random.random((height, width)) < random.choice([0.002, 0.1, 0.99])
        runs = mask.encode(np.asfortranarray(pixels, np.uint8))
        text = {"size": [int(height), int(width)], "counts": runs["counts"].decode()}
        assert box_around(text) == (mask.toBbox(runs).tolist() if pixels.any() else None)


@pytest.mark.parametrize("box", [{}, {"bbox": []}, {"bbox": None}])
@pytest.mark.parametrize("rows", [(0,), (0, 2), (0, 1, 2)])
def test_a_missing_box_is_that_around_the_segmentation(
    document: Document, write: Write, box: Document, rows: tuple[int, ...]
) -> None:
    boxes = [record["bbox"] for record in document["annotations"]]
    for row in rows:
        del document["annotations"][row]["bbox"]
        document["annotations"][row] |= {"segmentation": SHAPE, **box}
        boxes[row] = [2, 1, 4, 3]
    path = write(document)
    read = read_annotations(path)
    assert read.boxes_xywh.tolist() == boxes
    assert read.notes[TAKEN].count == len(rows)
    assert read_ground_truth(path).boxes_xywh.tolist() == boxes


def test_a_box_beside_a_segmentation_counts(document: Document, write: Write) -> None:
    for record in document["annotations"]:
        record["segmentation"] = SHAPE
    read = read_annotations(write(document))
    assert read.boxes_xywh[0].tolist() == [1, 2, 5, 5]
    assert not read.notes


@pytest.mark.parametrize("shape", [[], [[1, 2, 3]], {"size": [4, 5], "counts": [20]}, None])
def test_where_neither_says_it_the_record_is_named(
    document: Document, write: Write, shape: Any
) -> None:
    document["annotations"][0]["segmentation"] = SHAPE
    del document["annotations"][0]["bbox"]
    del document["annotations"][2]["bbox"]
    document["annotations"][2]["segmentation"] = shape
    with pytest.raises(UserError, match=r"annotations\[2\] \(id 3\): 'bbox' is missing"):
        read_annotations(write(document))


def test_results_of_masks_have_the_boxes_around_them(
    document: Document, write: Write, tmp_path: Path
) -> None:
    mask = {"size": [10, 20], "counts": [22, 3, 175]}
    detection = {"image_id": 4, "category_id": 3, "score": 0.5, "segmentation": mask}
    (tmp_path / "segm.json").write_text(json.dumps([detection]))
    detections = read_results(tmp_path / "segm.json", read_ground_truth(write(document)))
    assert detections.boxes_xywh.tolist() == [[2, 2, 1, 3]]


def test_own_labels_get_the_box(document: Document, write: Write, tmp_path: Path) -> None:
    from PIL import Image

    for image in document["images"]:
        Image.new("RGB", (20, 10)).save(tmp_path / image["file_name"])
    for field in ("bbox", "area"):
        del document["annotations"][0][field]
    document["annotations"][0]["segmentation"] = SHAPE
    path = write(document)
    (entry,) = sets_in_folder(path, tmp_path, "", strictly, [].append)
    assert annotations_of(path, entry.read()).notes[TAKEN].count == 1
    data = read_own(path, tmp_path)
    first = data.documents[""]["annotations"][0]
    assert (first["bbox"], first["area"]) == ([2, 1, 4, 3], 12)
    assert "segmentation" not in first
    assert any(TAKEN in note for note in data.notes)


@pytest.mark.parametrize(
    ("attributes", "count"),
    [
        ({"rotation": 30.5, "occluded": False}, 1),
        ({"rotation": -90}, 1),
        ({"rotation": 0.0}, 0),
        ({"rotation": 360}, 0),
        ({"rotation": "30"}, 0),
        ({"rotation": float("nan")}, 0),
        ({"occluded": True}, 0),
        ([], 0),
        (None, 0),
    ],
)
def test_turned_boxes_are_noted(
    document: Document, write: Write, attributes: Any, count: int
) -> None:
    document["annotations"][1]["attributes"] = attributes
    notes = read_annotations(write(document)).notes
    assert [finding.count for remark, finding in notes.items() if remark == TURNED] == [1] * count


@pytest.mark.parametrize(
    ("more", "note"),
    [
        ({"segmentation": SHAPE}, None),
        ({"bbox": None, "segmentation": SHAPE}, TAKEN),
        ({"attributes": {"rotation": 90}}, TURNED),
    ],
)
def test_long_files_are_read_the_same(
    document: Document, write: Write, monkeypatch: pytest.MonkeyPatch, more: Any, note: str | None
) -> None:
    """Those that the scanner would read."""
    monkeypatch.setattr(scanner, "WORTHWHILE", 1)
    for record in document["annotations"]:
        record |= more
        if record["bbox"] is None:
            del record["bbox"]
    assert [*read_annotations(write(document)).notes][:1] == ([note] if note else [])


@pytest.mark.parametrize(
    ("box", "polygons", "is_so"),
    [
        ([0, 0, 10, 10], [[0, 0, 10, 0, 10, 10, 0, 10]], False),
        ([0, 0, 10, 10], [[0, 4, 10, 4, 10, 10, 0, 10]], False),  # IoU .6
        ([0, 0, 10, 10], [[0, 4, 10, 4, 10, 14, 0, 14]], True),  # 60 of 140
        ([0, 0, 10, 10], [[20, 0, 30, 0, 30, 10]], True),
        ([0, 0, 10, 10], [[0, 0, 2, 2, 0, 2], [8, 8, 10, 8, 10, 10]], False),  # in two parts
        ([0, 0, 10, 10], [[20, 0, 30, 0]], False),  # of no height: tells nothing
        ([0, 0, 10, 10], [[]], False),
        ([0, 0, 10, 10], {"size": [1, 1], "counts": [1]}, False),
        ([0, 0, 10], [[20, 0, 30, 0, 30, 10]], False),
        ([0, 0, "10", 10], [[20, 0, 30, 0, 30, 10]], False),
        ({"x": 0}, [[20, 0, 30, 0, 30, 10]], False),
    ],
)
def test_boxes_that_are_not_where_their_polygons_are(box: Any, polygons: Any, is_so: bool) -> None:
    assert is_elsewhere(box, polygons) == is_so
