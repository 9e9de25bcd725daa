"""Every fault of a set by kind, with its count and its first record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled import COCO, write_pictures
from PIL import Image

from unidet.data.check import (
    BACKGROUND,
    SMALL,
    Faults,
    check_pictures,
    check_tables,
    note_copies,
    note_unlabelled,
    shared_pictures,
)
from unidet.formats.findings import Finding
from unidet.formats.tables import tables_of
from unidet.records import Split

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos")


def checked(photos: Path, edit: Edit, *, is_evaluated: bool = False) -> tuple[Split | None, Faults]:
    content = json.loads(json.dumps(COCO["labels.json"]))
    edit(content)
    faults = Faults()
    path = Path("labels.json")
    tables = tables_of(path, content)
    return check_tables(path, tables, photos, faults, is_evaluated=is_evaluated), faults


LOST = {"id": 3, "file_name": "c.png", "width": 9, "height": 9}


def more(count: int, **values: Any) -> Edit:
    """As many further annotations of these values."""

    def edit(content: dict[str, Any]) -> None:
        boxes = content["annotations"]
        for number in range(count):
            boxes.append({**boxes[0], "id": 10 + number, **values})

    return edit


def test_images_that_training_leaves_out_are_counted(photos: Path) -> None:
    """Image 1 keeps a crowd alone, 2 its cat, 4 has a box and 20 rows, 5 nothing."""
    for name in "de":
        Image.new("RGB", (40, 20)).save(photos / f"{name}.png")

    def edit(content: dict[str, Any]) -> None:
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"][1].update(image_id=4, bbox=[1, 1, 9, 9])
        content["images"].append({"id": 4, "file_name": "d.png", "width": 40, "height": 20})
        content["images"].append({"id": 5, "file_name": "e.png", "width": 40, "height": 20})

    _, faults = checked(photos, edit)
    assert faults.noted[BACKGROUND] == Finding(2, "images[0] (id 1)")
    assert faults.noted[SMALL] == Finding(1, "images[2] (id 4)")
    assert "image without boxes" not in faults.noted  # said once


def test_a_sound_set_has_no_fault(photos: Path) -> None:
    split, faults = checked(photos, lambda content: None)
    assert split is not None
    assert (len(split), len(split.labels)) == (2, 3)
    assert faults == Faults()


@pytest.mark.parametrize(
    ("edit", "kind", "count", "first"),
    [
        (
            more(2, bbox=[1, 2, 3]),
            "'bbox' must be [x, y, width, height]",
            2,
            "annotations[3] (id 10)",
        ),
        (more(3, image_id=7), "image_id is not among the images", 3, "annotations[3] (id 10)"),
        (
            more(1, category_id=True),
            "'category_id' must be a whole number: the id of one of the categories (1, 2), not its "
            "name",
            1,
            "annotations[3]",
        ),
        (more(2, id=1), "its id is already taken; ids must be unique", 2, "annotations[3] (id 1)"),
        (
            lambda content: content["images"].append(LOST),
            "its file is not in the images folder",
            1,
            "images[2] (id 3) 'c.png'",
        ),
        (
            lambda content: content["images"].append({**content["images"][0], "id": 3}),
            "its file is already that of another image",
            1,
            "images[2] (id 3)",
        ),
        (
            lambda content: content["images"][0].update(width="x"),
            "'width' must be a whole number",
            1,
            "images[0] (id 1)",
        ),
    ],
)
def test_a_fault_is_counted_by_kind(
    photos: Path, edit: Edit, kind: str, count: int, first: str
) -> None:
    split, faults = checked(photos, edit)
    assert split is not None
    assert list(faults.refused) == [kind]
    assert faults.refused[kind].count == count
    assert faults.refused[kind].first.startswith(first)


def test_several_kinds_are_all_found_with_the_numbers_of_the_file(photos: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        more(2, bbox=None)(content)
        more(1, id=50, category_id=9)(content)
        content["annotations"][1]["iscrowd"] = "perhaps"

    split, faults = checked(photos, edit)
    assert split is not None
    assert len(split.labels) == 2
    assert {kind: (f.count, f.first) for kind, f in faults.refused.items()} == {
        "category_id is not among the categories": (1, "annotations[5] (id 50)"),
        "'bbox' must be [x, y, width, height]": (2, "annotations[3] (id 10)"),
        "'iscrowd' must be 0 or 1": (1, "annotations[1] (id 2)"),
    }


def test_annotations_of_an_image_at_fault_are_not_faults_too(photos: Path) -> None:
    split, faults = checked(photos, lambda content: content["images"][0].update(height=-1))
    assert split is not None
    assert len(split.labels) == 1
    assert list(faults.refused) == ["'height' must be at least 1 pixel"]


def test_nothing_left_is_no_further_fault(photos: Path) -> None:
    def quote(content: dict[str, Any]) -> None:
        for image in content["images"]:
            image["id"] = str(image["id"])

    split, faults = checked(photos, quote)
    assert split is None
    (kind,) = faults.refused
    assert kind.startswith("'id' must be a whole number without quotation marks")


def test_what_stops_reading_is_a_fault_of_the_file(photos: Path) -> None:
    split, faults = checked(photos, lambda content: content.pop("categories"))
    assert split is None
    assert list(faults.refused) == ["has no 'categories'; expected images, annotations, categories"]


def test_what_training_leaves_out_is_noted(photos: Path) -> None:
    _, faults = checked(photos, more(1, bbox=[5, 5, 0.5, 9]))
    assert faults.refused == {}
    first = "annotations[3] (id 10)"
    assert faults.noted == {"skipped: box thinner than 1 pixel": Finding(1, first)}


def test_ground_truth_must_have_areas(photos: Path) -> None:
    _, faults = checked(photos, lambda content: None, is_evaluated=True)
    assert faults.refused == {"'area' is missing": Finding(3, "annotations[0] (id 1)")}


def test_what_an_evaluation_refuses_is_a_fault_and_no_note(photos: Path) -> None:
    def bend(content: dict[str, Any]) -> None:
        for record in content["annotations"]:
            record["area"] = 4
        content["annotations"][0]["bbox"] = [9, 2, -4, 5]

    _, faults = checked(photos, bend, is_evaluated=True)
    (kind,) = faults.refused
    assert "no side negative" in kind
    assert faults.refused[kind] == Finding(1, "annotations[0] (id 1)")
    assert not any("negative" in kind for kind in faults.noted)


# --- images ----------------------------------------------------------------------------------


def test_every_broken_picture_is_found(photos: Path) -> None:
    split, faults = checked(photos, lambda content: content["images"][1].update(width=61))
    assert split is not None
    whole = (photos / "a.png").read_bytes()
    (photos / "a.png").write_bytes(whole[: len(whole) // 2])
    assert check_pictures(split, photos, faults, lambda done, total: None) == {"in/b.png"}
    assert {kind: finding.first for kind, finding in faults.refused.items()} == {
        "the file is truncated": "a.png",
        "image of another size than its annotations say": "in/b.png",
    }


def test_a_jpeg_that_is_grey_in_part_is_noted(photos: Path) -> None:
    split, faults = checked(photos, lambda content: None)
    assert split is not None
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    height, width = int(split.heights[0]), int(split.widths[0])
    Image.fromarray(noise).resize((width, height)).save(photos / "a.png", "JPEG")
    whole = (photos / "a.png").read_bytes()
    (photos / "a.png").write_bytes(whole[: len(whole) * 3 // 4] + whole[-2:])
    check_pictures(split, photos, faults, lambda done, total: None)
    assert faults.noted == {
        "image that is damaged, and grey or noise in part: replace it": Finding(1, "a.png")
    }
    assert not faults.refused


def test_pictures_that_no_file_lists_are_noted(photos: Path) -> None:
    split, faults = checked(photos, lambda content: content["images"].pop() and None)
    assert split is not None
    note_unlabelled(split.file_names, photos, faults)
    assert faults.noted == {"image that no annotation file lists": Finding(1, "in/b.png")}


def test_copies_and_pictures_of_both_parts_are_found_by_content() -> None:
    faults = Faults()
    note_copies({"a": "1", "b": "2", "c": "1", "d": "1"}, faults)
    assert faults.noted == {"image with the content of another": Finding(2, "c is a")}
    assert shared_pictures({"a": "1", "b": "2"}, {"c": "2", "d": "3"}) == Finding(1, "c is b")
    assert shared_pictures({"a": "1"}, {"c": "2"}) is None
