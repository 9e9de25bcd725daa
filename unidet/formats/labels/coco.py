"""COCO's JSON from labels and back; files of the family are read by `formats.annotations`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unidet.formats.json_text import shown
from unidet.formats.labels.records import Box, Labelled, Labels, RecordFault, by_part

Document = dict[str, Any]


def document_of(labels: Labels) -> Document:
    """A COCO document of labels; ids count from 1, and `area` is that of the box."""
    numbers = {name: number for number, name in enumerate(labels.names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row, image in enumerate(labels.images, start=1):
        record = {"id": row, "file_name": image.file_name}
        images.append({**record, "width": image.width, "height": image.height})
        for box in image.boxes:
            left, top, right, bottom = box.xyxy
            sides = right - left, bottom - top
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": row,
                    "category_id": numbers[box.name],
                    "bbox": [left, top, *sides],
                    "area": sides[0] * sides[1],
                    "iscrowd": int(box.is_crowd),
                }
            )
    categories = [{"id": number, "name": name} for name, number in numbers.items()]
    return {"images": images, "categories": categories, "annotations": annotations}


def labels_of(place: Path, documents: Mapping[str, Document]) -> Labels:
    """Labels of documents with the same categories, by part, for writing other formats.

    Categories with the same name are merged. Ignored annotations become crowds; neither is used in
    training.

    Args:
        place: source of the documents, for messages.

    Raises:
        RecordFault: a box is not finite or has a negative side.
    """
    images = []
    names: dict[str, None] = {}
    for part, document in documents.items():
        categories = {entry["id"]: entry["name"] for entry in document["categories"]}
        names |= dict.fromkeys(categories[number] for number in sorted(categories))
        boxes: dict[int, list[Box]] = {}
        for record in document["annotations"]:
            boxes.setdefault(record["image_id"], []).append(_box(place, record, categories))
        images += [
            Labelled(
                image["file_name"],
                image["width"],
                image["height"],
                tuple(boxes.get(image["id"], ())),
                part,
            )
            for image in document["images"]
        ]
    return Labels(tuple(names), tuple(images))


def _box(place: Path, record: Mapping[str, Any], categories: Mapping[int, str]) -> Box:
    left, top, width, height = map(float, record["bbox"])
    if not all(map(math.isfinite, (left, top, width, height))) or min(width, height) < 0:
        raise RecordFault(
            f"{place}: annotation of id {record['id']}",
            "a box to convert must be x, y, width, height with finite numbers and no negative side",
            shown(record["bbox"]),
        )
    xyxy = (left, top, left + width, top + height)
    return Box(categories[record["category_id"]], xyxy, not is_object(record))


def is_object(record: Mapping[str, Any]) -> bool:
    """Whether an annotation is one to train on: neither a crowd nor ignored."""
    return not (record.get("iscrowd") or record.get("ignore"))


def write(labels: Labels, out: Path, images: Path) -> None:
    """`annotations.json`, or `train.json` and `val.json`."""
    for part, own in by_part(labels).items():
        text = json.dumps(document_of(own), ensure_ascii=False)
        (out / f"{part or 'annotations'}.json").write_text(text, encoding="utf-8")
