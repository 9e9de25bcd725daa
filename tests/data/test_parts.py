"""Parts of annotation files, as the official scripts make them."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from unidet.data.parts import (
    frequencies,
    frequencies_path,
    images_without,
    part_path,
    random_part,
    seeded_rows,
    write_annotations,
)
from unidet.errors import UserError


def quiet(count: int) -> None:
    pass


def forty(folder: Path, **changes: Any) -> Path:
    """Forty images with two or three annotations each."""
    content = {
        "images": [{"id": 10 * row + 7, "file_name": f"{row}.jpg"} for row in range(40)],
        "annotations": [
            {"id": row, "image_id": 10 * (row % 40) + 7, "category_id": row % 3 + 1}
            | {"bbox": [row, 1, 2, 3.5], "iscrowd": 0, "segmentation": [[1, 2]]}
            for row in range(100)
        ],
        "categories": [
            {"id": number, "name": name} for number, name in enumerate(("cat", "é", "c", "none"), 1)
        ],
    }
    file = folder / "x.json"
    file.write_text(json.dumps(content | changes))
    return file


def test_the_part_is_the_official_one(tmp_path: Path) -> None:
    """Recorded: sha256 of what extract_random_images.py --seed 1 --percent 8.5 writes of it, and
    of what get_cat_info.py writes of that."""
    kept = random_part(forty(tmp_path), 8.5, 1, quiet)
    assert [image["id"] for image in kept.images] == [27, 37, 317]
    assert [record["id"] for record in kept.annotations] == [2, 3, 31, 42, 43, 71, 82, 83]
    out = io.StringIO()
    write_annotations(kept, out)
    text = out.getvalue()
    assert sha256(text.encode()).hexdigest().startswith("8fb85986467af5a3ddc8ef4fcd4e1fa2")
    part = part_path(tmp_path / "x.json", 8.5, 1)
    assert part.name == "x.1@8.5.json"
    part.write_text(text)
    counted = frequencies(part, quiet)
    assert [(entry["image_count"], entry["instance_count"]) for entry in counted] == [
        (2, 2),
        (3, 3),
        (3, 3),
        (0, 0),
    ]
    assert sha256(json.dumps(counted).encode()).hexdigest().startswith("ed365276c15c3cb5b0928771")
    assert frequencies_path(part).name == "x.1@8.5_cat_info.json"


def test_percents_are_counted_as_officially() -> None:
    assert len(seeded_rows(1_742_289, 3.5, 1)) == 60_980  # of Objects365 v2
    assert len(seeded_rows(100, 29, 0)) == 28  # int(0.29 * 100) in floating point
    assert seeded_rows(3, 100, 5).tolist() == [0, 1, 2]


def test_names_of_parts_have_the_percent_as_a_float() -> None:
    assert part_path(Path("a/b.json"), 4, 2) == Path("a/b.2@4.0.json")


def test_images_that_another_file_lacks(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"images": [{"id": 10 * row + 7} for row in range(2, 60)]}))
    kept = images_without(forty(tmp_path), other, quiet)
    assert [image["id"] for image in kept.images] == [7, 17]
    assert {record["image_id"] for record in kept.annotations} == {7, 17}
    assert len(kept.categories) == 4


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": [{"id": None}]}, "an image has the id None, must be a number"),
        ({"images": [7]}, "one of its images is 7, must be an object"),
        ({"annotations": [[]]}, "one of its annotations is .., must be an object"),
        ({"images": []}, "8.5 % of its 0 images is none; take more"),
    ],
)
def test_faults_are_one_line(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        random_part(forty(tmp_path, **changes), 8.5, 1, quiet)


def test_an_annotation_of_no_category_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="category_id 1 is not among its categories"):
        frequencies(forty(tmp_path, categories=[]), quiet)
