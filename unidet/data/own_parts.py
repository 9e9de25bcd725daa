"""Which part of a data set its images belong to: training or evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from unidet.errors import UserError
from unidet.formats.findings import Finding
from unidet.formats.labels.coco import Document
from unidet.formats.labels.records import (
    PARTS,
    TEST,
    TRAIN,
    VAL,
    Labels,
    refuse_shared,
)


def parts_of_folders(labels: Labels) -> Labels:
    """Labels without parts in those that the folders of their images name, if all images lie in
    such folders: `train`, and `val` or `test`."""
    parts = [_part_of(image.file_name) for image in labels.images]
    is_divided = TRAIN in parts and ({VAL, TEST} & {*parts}) and "" not in parts
    if not is_divided or any(image.part for image in labels.images):
        return labels
    images = [replace(image, part=part) for image, part in zip(labels.images, parts, strict=True)]
    remark = "image in a folder that is called like a part: of that part"
    finding = Finding(len(images), f"{images[0].file_name} of {images[0].part}")
    return replace(labels, images=tuple(images), notes={**labels.notes, remark: finding})


def _part_of(name: str) -> str:
    folders = (folder.lower() for folder in PurePosixPath(name).parts[-2::-1])
    return next((PARTS[folder] for folder in folders if folder in PARTS), "")


def in_parts(
    documents: Mapping[str, Document], place: Path
) -> tuple[dict[str, Document], dict[str, Finding]]:
    """A training and an evaluation part, or one part, and notes.

    Test images are used for evaluation only if there are no validation images.

    Raises:
        UserError: the parts have different categories or share images.
    """
    documents, notes = {**documents}, {}
    if TEST in documents and VAL not in documents:
        documents[VAL] = documents.pop(TEST)
    if TEST in documents:
        remark = "image of the part test: left out, val is for evaluation"
        notes = _left_out(remark, documents.pop(TEST))
    if {TRAIN, VAL} <= documents.keys():
        if "" in documents:
            notes |= _left_out("image of no part: left out", documents.pop(""))
        documents[VAL], noted = _numbered_like(documents[TRAIN], documents[VAL])
        train, val = (names_of(documents[part]) for part in (TRAIN, VAL))
        refuse_shared(train, val, place)
        return documents, notes | noted
    first, *more = documents.values()
    return {"": joined(first, more)}, notes


def names_of(document: Document) -> set[str]:
    """The files of its images."""
    return {image["file_name"] for image in document["images"]}


def _left_out(remark: str, document: Document) -> dict[str, Finding]:
    names = [image["file_name"] for image in document["images"]]
    return {remark: Finding(len(names), names[0])} if names else {}


def joined(first: Document, more: list[Document]) -> Document:
    """Join documents with the same categories; ids are renumbered where they collide."""
    images, annotations = [*first["images"]], [*first["annotations"]]
    for document in more:
        image_shift, box_shift = _largest(images) + 1, _largest(annotations) + 1
        images += [{**image, "id": image["id"] + image_shift} for image in document["images"]]
        annotations += [
            {**box, "id": box["id"] + box_shift, "image_id": box["image_id"] + image_shift}
            for box in document["annotations"]
        ]
    return {**first, "images": images, "annotations": annotations}


def _largest(records: list[dict[str, Any]]) -> int:
    return max((int(record["id"]) for record in records), default=0)


def unknown_names(train: set[str], val: set[str]) -> list[str]:
    """The categories that are evaluated, but not trained."""
    return sorted(val - train)


def _numbered_like(train: Document, val: Document) -> tuple[Document, dict[str, Finding]]:
    """The evaluation part with the categories of the training part, matched by name.

    Exports of single parts number those that each has.

    Raises:
        UserError: it has others, or names that are not unique.
    """
    numbers, own = (
        [(entry["name"], entry["id"]) for entry in d["categories"]] for d in (train, val)
    )
    if {*numbers} == {*own}:
        return val, {}
    known = dict(numbers)
    strange = unknown_names({*known}, {*dict(own)})
    if strange or len(known) < len(numbers) or len({*dict(own)}) < len(own):
        first = strange[0] if strange else sorted({*numbers} ^ {*own})[0]
        raise UserError(
            f"train and val have different categories ({len(numbers)} and {len(own)}, by name), "
            f"first {first!r}; one study learns and evaluates the same names: list all of val's "
            "in train too, with boxes or without, each once"
        )
    renumbered = {number: known[name] for name, number in own}
    boxes = [{**box, "category_id": renumbered[box["category_id"]]} for box in val["annotations"]]
    other = sorted({*numbers} - {*own})
    remark = "category that val numbers otherwise than train, or lacks: matched by name"
    finding = Finding(len(other), other[0][0])
    content = {**val, "categories": train["categories"], "annotations": boxes}
    return content, {remark: finding}
