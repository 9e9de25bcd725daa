"""Annotation files: what is read otherwise than written is noted, what cannot be meant refused."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unidet.errors import UserError
from unidet.formats.annotations import read_annotations
from unidet.formats.mmdet_pickles import read_order
from unidet.formats.names import CLEANED
from unidet.formats.tables import read_records

Document = dict[str, Any]
Write = Callable[[Document], Path]


def notes(path: Path) -> dict[str, int]:
    return {remark: finding.count for remark, finding in read_annotations(path).notes.items()}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_annotations(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    return message.removeprefix(f"{path}: ")


def test_columns_are_in_the_order_of_the_file(document: Document, write: Write) -> None:
    read = read_annotations(write(document))
    assert read.image_ids.tolist() == [9, 4]
    assert [(c.id, c.name) for c in read.classes] == [(3, "bat"), (1, "ant")]
    assert read.image_rows.tolist() == [1, 0, 0]
    assert read.category_rows.tolist() == [0, 1, 0]
    assert read.sizes.tolist() == [[20, 10], [20, 10]]
    assert read.boxes_xywh[1].tolist() == [8, 1, 4, 4.5]
    assert not read.notes


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_every_unicode_encoding_is_read(document: Document, write: Write, encoding: str) -> None:
    document["categories"][0]["name"] = "né"
    path = write(document)
    path.write_text(json.dumps(document, ensure_ascii=False), encoding=encoding)
    assert read_annotations(path).classes[0].name == "né"


@pytest.mark.parametrize(
    ("field", "value", "truth", "noted"),
    [
        ("iscrowd", 1, True, []),
        ("iscrowd", True, True, []),
        ("iscrowd", 1.0, True, []),
        ("iscrowd", None, False, []),
        ("iscrowd", "0", False, ["'iscrowd' written as text"]),
        ("iscrowd", "1", True, ["'iscrowd' written as text"]),
        ("iscrowd", "False", False, ["'iscrowd' written as text"]),
        ("is_crowd", 1, True, ["'is_crowd' read as 'iscrowd'"]),
        ("isCrowd", 0, False, ["'isCrowd' read as 'iscrowd'"]),
        ("ignore", "0", False, ["'ignore' written as text"]),
        ("Ignore", True, True, ["'Ignore' read as 'ignore'"]),
        (
            "isIgnored",
            "1",
            True,
            ["'isIgnored' written as text", "'isIgnored' read as 'ignore'"],
        ),
    ],
)
def test_flags(
    document: Document, write: Write, field: str, value: Any, truth: bool, noted: list[str]
) -> None:
    document["annotations"][1][field] = value
    read = read_annotations(write(document))
    column = read.is_crowd if "crowd" in field.lower() else read.is_ignored
    assert column.tolist() == [False, truth, False]
    assert list(read.notes) == noted


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("iscrowd", value) for value in (2, -1, 0.5, "yes", "", [0], {}, float("nan"))),
        ("isCrowd", "maybe"),
        ("ignore", 7),
    ],
)
def test_flags_that_are_none(document: Document, write: Write, field: str, value: Any) -> None:
    document["annotations"][1][field] = value
    message = refusal(write(document))
    assert message.startswith(f"annotations[1] (id 2): '{field}' is ")
    assert message.endswith("must be 0 or 1")


def test_spellings_that_disagree(document: Document, write: Write) -> None:
    document["annotations"][2] |= {"iscrowd": 0, "is_crowd": 1}
    assert refusal(write(document)) == ("annotations[2] (id 3): 'iscrowd' and 'is_crowd' disagree")


@pytest.mark.parametrize(
    ("table", "field", "value", "problem"),
    [
        ("images", "id", "9", "must be a whole number without quotation marks; number the records"),
        ("images", "id", "a9", "'id' is 'a9', must be a whole number; number the records, and"),
        ("images", "id", True, "'id' is True, must be a whole number"),
        ("images", "id", 9.5, "'id' is 9.5, must be a whole number"),
        ("images", "id", 2**63, "must be a whole number between -2^63 and 2^63; number the rec"),
        ("images", "id", -(2**70), "must be a whole number between -2^63 and 2^63; number the"),
        ("images", "id", 2.0**63, "must be a whole number between -2^63 and 2^63; number the"),
        ("images", "id", float("inf"), "'id' is inf, must be a whole number; number"),
        ("images", "id", float("nan"), "'id' is nan, must be a whole number"),
        ("images", "id", 2.0**60, "must be a whole number with all its digits"),
        ("images", "id", None, "'id' is None, must be a whole number"),
        ("images", "width", "20", "must be a whole number without quotation marks"),
        ("images", "width", True, "'width' is True, must be a whole number"),
        ("images", "height", -1, "'height' is -1, must be at least 1 pixel"),
        ("images", "height", 2**40, "'height' is 1099511627776, must be at least 1 pixel"),
        ("categories", "name", 3, "'name' is 3, must be a non-empty text"),
        ("categories", "name", "\n", r"'name' is '\n', must be a non-empty text"),
        ("categories", "frequency", ["r"], "'frequency' is ['r'], must be 'r', 'c' or 'f'"),
        ("categories", "synonyms", 3, "'synonyms' is 3, must be a list of texts"),
        ("categories", "synonyms", "bats", "'synonyms' is 'bats', must be a list of texts"),
        ("categories", "is_novel", [1], "'is_novel' is [1], must be 0 or 1"),
        ("annotations", "id", "1", "'id' is '1', must be a whole number"),
        ("annotations", "image_id", "4", "a whole number without quotation marks: the id of one"),
        ("annotations", "category_id", 2**64, "between -2^63 and 2^63: the id of one of the cat"),
        ("annotations", "category_id", "car", "a whole number: the id of one of the categories"),
        ("annotations", "image_id", 5, "image_id 5 is not among the 2 images"),
        ("annotations", "category_id", 2, "category_id 2 is not among the 2 categories"),
        ("annotations", "bbox", [1, 2, 3], "'bbox' is [1, 2, 3], must be [x, y, width, height]"),
        ("annotations", "bbox", [1, 2, True, 4], "'bbox' is [1, 2, True, 4], must be [x,"),
        ("annotations", "bbox", "1 2 3 4", "'bbox' is '1 2 3 4', must be [x, y, width, height]"),
        ("annotations", "bbox", {"x": 1}, "'bbox' is {'x': 1}, must be [x, y, width, height]"),
        ("annotations", "bbox", [1, 2, 3, 10**400], "'bbox' is [1, 2, 3, 1000000"),
    ],
)
def test_records_that_cannot_be_meant(
    document: Document, write: Write, table: str, field: str, value: Any, problem: str
) -> None:
    document[table][0][field] = value
    assert problem in refusal(write(document))


@pytest.mark.parametrize("field", ["id", "image_id", "category_id", "bbox"])
def test_a_missing_field_is_named(document: Document, write: Write, field: str) -> None:
    del document["annotations"][2][field]
    assert refusal(write(document)).endswith(f": '{field}' is missing")


def test_a_message_is_one_line_whatever_the_id(document: Document, write: Write) -> None:
    document["images"][0]["id"] = "a\nb\x1b[2J"
    assert refusal(write(document)).startswith(r"images[0] (id 'a\nb\x1b[2J'): 'id' is")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"images": ' + "[" * 100_000, "malformed JSON: nested too deeply"),
        ('{"images": [' + "9" * 5000 + "]}", "malformed JSON: a number of thousands of digits"),
        ('{"images": [{"id": 1,}]}', "malformed JSON at line 1, column 22"),
        ('{"categories": 3}', "'categories' must be a list"),
        ('{"categories": {"1": "ant"}}', "'categories' must be a list"),
        ('{"categories": [3]}', "categories[0]: is 3, must be an object"),
        ("NaN", "holds no object"),
        ("", "is empty: fetch or write it again"),
    ],
)
def test_broken_text(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "broken.json"
    path.write_text(text)
    assert refusal(path).startswith(problem)


def test_depth_is_bounded_however_far_python_may_recurse(tmp_path: Path) -> None:
    """Jittor raises the limit to a million, where 100,000 brackets overflow the stack."""
    path = tmp_path / "deep.json"
    limit = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(10**6)
        for opening in ("[", '{"a":'):
            path.write_text('{"images": ' + opening * 300)
            assert refusal(path).startswith("malformed JSON: nested too deeply")
            assert sys.getrecursionlimit() == 10**6
    finally:
        sys.setrecursionlimit(limit)


def test_annotations_of_id_0_are_noted(document: Document, write: Write) -> None:
    document["annotations"][1]["id"] = 0
    assert notes(write(document)) == {"annotation of id 0: official AP counts it as never found": 1}


@pytest.mark.parametrize(
    ("first", "second"),
    [("bat", "bat"), ("bat", "BAT"), ("fruit bat", "fruit  bat"), ("fruit_bat", "Fruit  Bat")],
)
def test_names_that_are_one_but_for_spelling_are_noted(
    document: Document, write: Write, first: str, second: str
) -> None:
    document["categories"] = [{"id": 3, "name": first}, {"id": 1, "name": second}]
    (remark,) = notes(write(document))
    assert remark.startswith("category with a name that another has but for case")
    assert remark.endswith(f"({second!r})")


def test_control_characters_are_taken_out_of_names(document: Document, write: Write) -> None:
    document["categories"][0] |= {"name": "fruit\u2028bat\r\n", "synonyms": ["flying\tfox\ud800"]}
    read = read_annotations(write(document))
    assert read.classes[0].name == "fruit bat"
    assert read.classes[0].synonyms == ("flying fox",)
    assert list(read.notes) == [CLEANED]


@pytest.mark.parametrize("name", ["bat ", " bat", "bat\u00a0"])
def test_outer_spaces_are_taken_out_of_names(document: Document, write: Write, name: str) -> None:
    """One file of two may have them, and nobody sees why the names differ."""
    document["categories"][0]["name"] = name
    read = read_annotations(write(document))
    assert read.classes[0].name == "bat"
    assert list(read.notes) == [CLEANED]


def test_boxes_in_units_of_the_image_are_refused(document: Document, write: Write) -> None:
    for record in document["annotations"]:
        record["bbox"] = [0.1, 0.25, 0.5, 0.75]
    assert refusal(write(document)).startswith("all 3 boxes of its annotations lie in 0..1;")
    document["annotations"][0]["bbox"] = [0, 0, 1, 1.5]
    assert len(read_annotations(write(document)).boxes) == 3


def corners(document: Document, boxes: list[list[float]]) -> Document:
    document["annotations"] = [
        {"id": row + 1, "image_id": 4, "category_id": 3, "bbox": box}
        for row, box in enumerate(boxes)
    ]
    return document


CORNERS = [[1, 1, 5, 5], [0, 2, 9, 8], [12, 1, 18, 9], [3, 2, 9, 9]]


def test_corners_are_refused(document: Document, write: Write) -> None:
    """As x, y, width, height the last two reach over the 20x10 pixels, by 10 and by 1 and more."""
    assert refusal(write(corners(document, CORNERS))).startswith(
        "1 of the 4 boxes of its annotations reach over their image as [x, y, width, height]"
    )


@pytest.mark.parametrize(
    "boxes",
    [
        CORNERS[1:],  # so few may look like it by accident
        [*CORNERS, [9, 1, 3, 9]],  # no corners: x2 < x1
        [*CORNERS, [9, 1, 23, 9]],  # no corners: beyond the image
        [[1, 1, 5, 5], [0, 2, 9, 8], [2, 1, 18, 9], [3, 1, 9, 9]],  # fit as they are
    ],
)
def test_what_may_be_left_top_width_height_is_read_so(
    document: Document, write: Write, boxes: list[list[float]]
) -> None:
    read = read_annotations(write(corners(document, boxes)))
    np.testing.assert_array_equal(read.boxes_xywh, boxes)


def test_the_first_annotated_images(document: Document, write: Write) -> None:
    document["images"].insert(0, document["images"][0] | {"id": 1})
    read = read_annotations(write(document), limit=1)
    assert read.image_ids.tolist() == [9]
    assert read.annotation_ids.tolist() == [2, 3]
    assert read.image_rows.tolist() == [0, 0]
    rows = {"images": read.images.positions, "annotations": read.boxes.positions}
    kept = read_records(read.file, rows)
    assert [image["id"] for image in kept["images"]] == [9]
    assert [record["id"] for record in kept["annotations"]] == [2, 3]
    assert kept["categories"] == document["categories"]


def test_a_record_of_a_limited_file_has_its_place_in_the_file(
    document: Document, write: Write
) -> None:
    document["annotations"][2]["bbox"] = None
    with pytest.raises(UserError, match=r"truth.json: annotations\[2\] \(id 3\): 'bbox' is None"):
        read_annotations(write(document), limit=1)


@pytest.mark.parametrize("change", [{"image_id": 77}, {"image_id": None}, {"image_id": [4]}])
def test_images_cannot_be_counted_by_wrong_ids(
    document: Document, write: Write, change: Document
) -> None:
    document["annotations"][1] |= change
    with pytest.raises(UserError, match=r"annotations\[1\] \(id 2\): '?image_id"):
        read_annotations(write(document), limit=1)


def test_an_order_has_the_same_words_for_the_same_fault(document: Document, write: Write) -> None:
    document["images"][1]["id"] = 9.0
    path = write(document)
    with pytest.raises(UserError) as caught:
        read_order(path)
    assert str(caught.value) == f"{path}: {refusal(path)}"
