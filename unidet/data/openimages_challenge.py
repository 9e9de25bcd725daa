"""A part of the OpenImages challenge of 2019 as COCO-style annotations.

The images, their order and the boxes are those of the file that the official part is drawn from
(UniDet's tools/convert_datasets/convert_oid.py), whose ids of images are texts; here they are
numbers.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from unidet.data.parts import Kept
from unidet.errors import UserError

Progress = Callable[[int], None]
_STEP = 100_000


def boxed_images(images: Path, boxes: Path, progress: Progress) -> list[str]:
    """Codes of the images with boxes, in the order of the table of images.

    Args:
        images: `train-images-boxable-with-rotation.csv`; its column ImageID.
        boxes: `challenge-2019-train-detection-bbox.csv`.
    """
    with_boxes = {row["ImageID"] for row in _rows(boxes, ("ImageID",), progress)}
    codes = [row["ImageID"] for row in _rows(images, ("ImageID",), progress)]
    return [code for code in codes if code in with_boxes]


def file_name(code: str) -> str:
    """`0/000002b66c9c498e.jpg`: below the folder that the archives are named by."""
    return f"{code[0]}/{code}.jpg"


def challenge_part(
    boxes: Path,
    classes: Path,
    numbers: dict[str, int],
    sizes: dict[str, tuple[int, int]],
    progress: Progress,
) -> Kept:
    """The annotations of some images.

    Args:
        classes: `challenge-2019-classes-description-500.csv`: code and name, one line each; the
            number of the line is the id.
        numbers: code -> id of each image.
        sizes: code -> width and height in pixels.

    Raises:
        UserError: a table lacks a column, or a box has a label that `classes` lacks.
    """
    categories = _categories(classes)
    ids = {category["freebase_id"]: category["id"] for category in categories}
    kept = Kept([], [], categories)
    kept.images.extend(
        {"id": number, "file_name": file_name(code), "width": sizes[code][0]}
        | {"height": sizes[code][1]}
        for code, number in numbers.items()
    )
    columns = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")
    for line, row in enumerate(_rows(boxes, columns, progress)):
        code = row["ImageID"]
        if code not in numbers:
            continue
        if row["LabelName"] not in ids:
            raise UserError(f"{boxes}: line {line + 2}: {classes} has no {row['LabelName']!r:.40}")
        try:
            box = _box(row, sizes[code])
        except (TypeError, ValueError):
            raise UserError(f"{boxes}: line {line + 2}: a coordinate is not a number") from None
        record = {"id": line, "image_id": numbers[code], "category_id": ids[row["LabelName"]]}
        kept.annotations.append(record | box)
    return kept


def _categories(classes: Path) -> list[dict[str, object]]:
    with classes.open(encoding="utf-8-sig", newline="") as lines:
        rows: Sequence[list[str]] = [row for row in csv.reader(lines) if len(row) > 1]
    return [
        {"id": number, "name": name, "freebase_id": code}
        for number, (code, name, *_) in enumerate(rows, start=1)
    ]


def _box(row: dict[str, str], size: tuple[int, int]) -> dict[str, object]:
    """x, y, width, height in pixels to a hundredth; groups are crowds."""
    width, height = size
    left, right = (float(row[key]) * width for key in ("XMin", "XMax"))
    top, bottom = (float(row[key]) * height for key in ("YMin", "YMax"))
    across, down = right - left, bottom - top
    box = [round(value, 2) for value in (left, top, across, down)]
    is_group = int(row["IsGroupOf"]) > 0
    return {"bbox": box, "area": round(across * down, 2)} | ({"iscrowd": 1} if is_group else {})


def _rows(table: Path, columns: Sequence[str], progress: Progress) -> Iterator[dict[str, str]]:
    with table.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(f"{table}: has no column {missing[0]}; it takes {', '.join(columns)}")
        for count, row in enumerate(reader):
            if count % _STEP == 0:
                progress(count)
            yield row
