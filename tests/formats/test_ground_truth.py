"""Ground truth: columns sorted by id, faults named by file and record, notes on what is odd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unidet.errors import UserError
from unidet.formats.ground_truth import read_ground_truth


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


def changed(key: str, row: int, **changes: Any) -> dict[str, Any]:
    faulty = document()
    faulty[key][row].update(changes)
    return faulty


def without(key: str, row: int, field: str) -> dict[str, Any]:
    faulty = document()
    del faulty[key][row][field]
    return faulty


def federated(negatives: list[Any]) -> dict[str, Any]:
    images = [{"id": number, "neg_category_ids": negatives} for number in (9, 4)]
    return document() | {"images": images}


FAULTY_TRUTHS = {
    "image twice": (
        changed("images", 1, id=9),
        "images[1] (id 9): its id is already taken by images[0]",
    ),
    "category twice": (
        changed("categories", 1, id=3),
        "categories[1] (id 3): its id is already taken",
    ),
    "annotation twice": (
        changed("annotations", 1, id=1),
        "annotations[1] (id 1): its id is already taken",
    ),
    "unknown image": (
        changed("annotations", 1, image_id=5),
        "annotations[1] (id 2): image_id 5 is not among the 2 images",
    ),
    "unknown category": (
        changed("annotations", 0, category_id=7),
        "annotations[0] (id 1): category_id 7",
    ),
    "nan box": (
        changed("annotations", 0, bbox=[0, 0, float("nan"), 1]),
        "annotations[0] (id 1): 'bbox' is [0, 0, nan, 1]",
    ),
    "nan area": (
        changed("annotations", 1, area=float("nan")),
        "annotations[1] (id 2): 'area' is nan, must be a finite number",
    ),
    "frequency": (
        changed("categories", 0, frequency="x"),
        "categories[0] (id 3): 'frequency' is 'x', must be 'r'",
    ),
    "no images": (document() | {"images": []}, "'images' is empty"),
    "no categories": (document() | {"categories": []}, "'categories' is empty"),
    "images missing": ({"annotations": [], "categories": [{"id": 1}]}, "has no 'images'"),
    "no annotations": (
        {"images": [{"id": 1}], "categories": [{"id": 1}]},
        "has no 'annotations'",
    ),
    "a list": ([1], "holds no object"),
    "negative side": (
        changed("annotations", 0, bbox=[5, 5, -2, 1]),
        "annotations[0] (id 1): 'bbox'",
    ),
    "no area": (without("annotations", 1, "area"), "annotations[1] (id 2): 'area' is missing"),
    "text area": (
        changed("annotations", 1, area="9"),
        "annotations[1] (id 2): 'area' is '9', must",
    ),
    "novelty": (changed("categories", 0, is_novel=[1]), "categories[0] (id 3): 'is_novel' is [1]"),
    "true negative": (federated([True]), "images[0] (id 9): 'neg_category_ids' is [True], must be"),
    "negatives": (
        document()
        | {"images": [{"id": 4, "neg_category_ids": 3}, {"id": 9, "neg_category_ids": []}]},
        "images[0] (id 4): 'neg_category_ids' is 3, must be a list of category ids",
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


def test_federated_tables_follow_the_order_of_ids(tmp_path: Path) -> None:
    """Of image 9 category 3 is absent, of image 4 category 1 is labelled here and there."""
    images = [
        {"id": 9, "neg_category_ids": [3, 77, 2**63]},
        {"id": 4, "neg_category_ids": [], "not_exhaustive_category_ids": [1]},
    ]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document() | {"images": images}))
    truth = read_ground_truth(path)
    assert truth.negatives is not None
    assert truth.not_exhaustive is not None
    assert truth.negatives.tolist() == [[False, False], [False, True]]
    assert truth.not_exhaustive.tolist() == [[True, False], [False, False]]


def test_what_official_evaluators_count_all_the_same_is_noted(tmp_path: Path) -> None:
    content = document()
    content["images"] = [
        {"id": 9, "width": 6, "height": 6, "file_name": "x.jpg"},
        {"id": 4, "width": 3, "height": 3, "file_name": "x.jpg"},
    ]
    content["annotations"][0] |= {"id": 0, "bbox": [3, 0, 2, 2]}
    content["annotations"][1] |= {"ignore": 1, "bbox": [1, 1, 0, 3], "area": 0}
    content["annotations"].append(content["annotations"][0] | {"id": 5, "area": 4})
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(content))
    truth = read_ground_truth(path)
    assert [note.split(",")[0].split(":")[0] for note in truth.notes] == [
        "1 × annotation of id 0",
        "1 × annotation that came before",
        "1 × annotation marked 'ignore'",
        "1 × degenerate box",
        "2 × box outside its image",
        "1 × 'area' that is neither its box's nor an outline's",
        "1 × image with a file name that came before",
    ]
    assert truth.notes[0].endswith("first annotations[0] (id 0)")


@pytest.mark.parametrize(
    ("areas", "count"),
    [((25, 18), 0), ((36, 20), 0), ((40, 18), 1), ((1, 1), 2), ((640 * 480, 640 * 480), 2)],
)
def test_areas_that_no_box_has_are_noted(
    areas: tuple[int, int], count: int, truth_path: Path
) -> None:
    """Boxes of 5x5 and 4x4.5, whose outlines cover 36 and 27.5 pixels at most."""
    content = document()
    for record, area in zip(content["annotations"], areas, strict=True):
        record["area"] = area
    truth_path.write_text(json.dumps(content))
    noted = [note for note in read_ground_truth(truth_path).notes if "'area'" in note]
    assert [note.split(" × ")[0] for note in noted] == ([str(count)] if count else [])


def test_a_frequency_that_some_categories_lack_is_noted(truth_path: Path) -> None:
    """The lvis package ends in a KeyError."""
    truth_path.write_text(json.dumps(changed("categories", 1, frequency="f")))
    (note,) = read_ground_truth(truth_path).notes
    assert note.startswith("1 × category without 'frequency', which others have")
    assert note.endswith("first categories[0] (id 3)")
