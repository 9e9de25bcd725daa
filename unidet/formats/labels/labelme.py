"""LabelMe: a JSON file per image, with shapes whose bounding boxes are read.

X-AnyLabeling's files also have shapes of type `rotation`, which are the corners of a rotated
rectangle, and flags `difficult`, which become crowds as in VOC.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from unidet.errors import UserError
from unidet.formats.json_text import read_document, shown
from unidet.formats.labels.records import (
    Box,
    Labelled,
    Labels,
    Notes,
    Owners,
    Pictures,
    Quad,
    RecordFault,
    Refuse,
    around,
    flag,
    is_pair,
    label_files,
    leaving_out,
    name_of,
    names_met,
    number,
    picture_of_file,
    require_own_files,
    size_or_header,
    stem_of,
    strictly,
)

SHAPES = ("rectangle", "polygon", "circle", "mask", "rotation", "quadrilateral")
_LEAST = {"rectangle": 2, "polygon": 3, "circle": 2, "mask": 2, "rotation": 3, "quadrilateral": 3}
"""Least number of points per type of shape."""
_NO_CLASSES = ("__ignore__", "_background_")
"""Labels that Labelme's own converters leave out."""


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """Read all JSON files with shapes below a folder, or one file."""
    notes = Notes()
    below = place.parent if place.is_file() else place
    images = []
    owners = Owners()
    for file in sorted(label_files(place, "*.json")):
        with leaving_out(refuse):
            document = _document(file)
            if "shapes" not in document and file != place and not pictures.beside(file, below):
                notes.add("JSON file without shapes: passed over", str(file))
                continue
            image = _image(file, document, below, pictures, notes)
            owners.add(image.file_name, str(file))
            images.append(image)
    return Labels(names_met(images), tuple(images), notes.findings)


def _document(file: Path) -> dict[str, Any]:
    try:
        return read_document(file)
    except UserError as fault:
        raise RecordFault(str(file), str(fault).removeprefix(f"{file}: ")) from None


def _image(
    file: Path, document: dict[str, Any], below: Path, pictures: Pictures, notes: Notes
) -> Labelled:
    shapes = document.get("shapes")
    if not isinstance(shapes, list):
        raise RecordFault(str(file), "must have a list 'shapes'", shown(shapes))
    name = picture_of_file(pictures, file, below, document.get("imagePath"), "'imagePath'")
    sides = document.get("imageWidth"), document.get("imageHeight")
    width, height = size_or_header(str(file), *sides, pictures, name)
    boxes: dict[object, Box] = {}
    for row, shape in enumerate(shapes):
        where = f"{file}: shapes[{row}]"
        box = _box(where, shape, notes)
        if box is not None:
            key = _instance(shape) or row
            if key in boxes:
                notes.add("shapes of one label and 'group_id': read as one object", where)
                box = replace(box, xyxy=_around_both(boxes[key].xyxy, box.xyxy))
            boxes[key] = box
    return Labelled(name, width, height, tuple(boxes.values()))


def _box(where: str, shape: Any, notes: Notes) -> Box | None:
    """The box of a shape; None, with a note, where it has none."""
    if not isinstance(shape, dict):
        raise RecordFault(where, "must be an object", shown(shape))
    kind = shape.get("shape_type") or "polygon"
    if kind not in SHAPES:
        notes.add(f"shape {shown(kind)} has no box ({', '.join(SHAPES)} have): left out", where)
        return None
    if shape.get("points") == []:
        notes.add("shape without a point: left out", where)
        return None
    name = name_of(where, shape.get("label"))
    if name in _NO_CLASSES:
        notes.add(f"shape labelled {name}: left out, as by Labelme", where)
        return None
    is_difficult = flag(where, str(shape.get("difficult") or ""), "'difficult'")
    return Box(name, _xyxy(where, kind, shape), is_difficult)


def _instance(shape: dict[str, Any]) -> str:
    """What the parts of one object share, as in labelme2coco; rectangles are objects each."""
    group = shape.get("group_id")
    is_part = group is not None and shape.get("shape_type") != "rectangle"
    return f"{shape['label'].strip()} {group}" if is_part else ""


def _around_both(one: Quad, other: Quad) -> Quad:
    return around([one[:2], one[2:], other[:2], other[2:]])


def _xyxy(where: str, kind: str, shape: dict[str, Any]) -> tuple[float, float, float, float]:
    written = shape.get("points")
    least = _LEAST[kind]
    if not (isinstance(written, list) and len(written) >= least and all(map(is_pair, written))):
        raise RecordFault(
            where, f"the 'points' of a {kind} must be {least} or more [x, y]", shown(written)
        )
    points = [(number(where, x, "x"), number(where, y, "y")) for x, y in written]
    if kind != "circle":
        return around(points)
    (x, y), edge = points[:2]
    radius = math.dist((x, y), edge)
    return x - radius, y - radius, x + radius, y + radius


def write(labels: Labels, out: Path, images: Path) -> None:
    """Write one file per image, with the path of the image relative to it."""
    require_own_files(labels.images, stem_of)
    for image in labels.images:
        file = out / f"{stem_of(image)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        path = os.path.relpath(os.path.realpath(images / image.file_name), file.parent.absolute())
        file.write_text(text_of(image, path), encoding="utf-8")


def text_of(image: Labelled, picture: str) -> str:
    """Content of a file with rectangles for Labelme 5; it has the image's path, not its data."""
    shapes: list[dict[str, Any]] = [
        {
            "label": box.name,
            "points": [[*box.xyxy[:2]], [*box.xyxy[2:]]],
            "group_id": None,
            "description": "" if box.score is None else f"{box.score:.5f}",
            "shape_type": "rectangle",
            "flags": {},
        }
        for box in image.boxes
        if not box.is_crowd
    ]
    sides = {"imageHeight": image.height, "imageWidth": image.width}
    content = {"version": "5.0.0", "flags": {}, "shapes": shapes, "imagePath": picture}
    return json.dumps({**content, "imageData": None, **sides}, ensure_ascii=False, indent=1)
