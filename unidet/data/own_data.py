"""The user's data in any format as COCO documents, one per part of the split."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from unidet.data.image_files import image_names
from unidet.data.own_parts import in_parts, names_of, parts_of_folders
from unidet.data.pictures import PictureFolder
from unidet.errors import UserError
from unidet.formats.annotations import ID_ZERO, Annotations, alike, annotations_of, sentences
from unidet.formats.findings import Finding, together
from unidet.formats.json_text import read_document
from unidet.formats.labels.coco import Document, document_of
from unidet.formats.labels.recognize import Source, recognize
from unidet.formats.labels.records import (
    PARTS,
    Labels,
    NoPicture,
    RecordFault,
    Refuse,
    by_part,
    part_named,
    strictly,
    with_plain_names,
)
from unidet.formats.outlines import box_around, is_elsewhere
from unidet.formats.tables import tables_of

_SIDES = ("width", "height")
NUMBERED = "annotation of id 0: given another, as official AP would count it as never found"
_IN_FRACTIONS = ("yolo", "openimages")
"""Formats that say nothing of the size of an image."""


@dataclass(frozen=True)
class OwnData:
    """Labels that were read.

    Attributes:
        format: one of `recognize.FORMATS`.
        documents: COCO documents by part, `train` and `val`, or one with an empty name if there are
            no parts. `file_name` is relative to the images folder; all images have a size and all
            annotations an area.
        findings: records that were corrected or omitted.
    """

    format: str
    documents: dict[str, Document]
    findings: dict[str, Finding]

    @property
    def notes(self) -> list[str]:
        """The findings, one line each."""
        return sentences(self.findings)

    @property
    def is_divided(self) -> bool:
        return "" not in self.documents


def read_own(place: Path, images: Path, as_format: str = "", refuse: Refuse = strictly) -> OwnData:
    """Read the labels at `place`, whose images are below `images`.

    Raises:
        UserError: the first fault, with file and record, unless `refuse` accepts faults of records.
    """
    source = recognize(place, as_format)
    pictures = PictureFolder(images)
    if source.format == "coco":
        documents, notes = _of_coco(source, pictures)
    else:
        read = _read(source, pictures, refuse)
        labels = parts_of_folders(with_plain_names(read))
        documents = {part: document_of(own) for part, own in by_part(labels).items()}
        notes = labels.notes | (pictures.turned() if source.format in _IN_FRACTIONS else {})
        notes |= _alike(labels.names)
    _require_boxes(documents, notes, place)
    notes = notes | _unlabelled(documents, pictures)
    documents, more = in_parts(documents, place)
    return OwnData(source.format, documents, notes | more)


def _read(source: Source, pictures: PictureFolder, refuse: Refuse) -> Labels:
    """The labels of another format than COCO's.

    Raises:
        UserError: as `read_own`; where an image is not there, with the number of such.
    """
    place, reader = source.places[0], reader_of(source.format)
    try:
        return reader.read(place, pictures, refuse)
    except NoPicture as first:
        lacking = {first.written}

        def count(fault: RecordFault) -> None:
            lacking.update({fault.written} if isinstance(fault, NoPicture) else ())

        with suppress(UserError):  # the first fault is told
            reader.read(place, pictures, count)
        total = len(lacking) + pictures.named
        raise UserError(
            f"{first}; {len(lacking)} of the {total} images that the labels name are not there: "
            "give their folder by --images, or fetch them, or take their records out"
        ) from None


def _alike(names: Sequence[str]) -> dict[str, Finding]:
    """The note on names that differ in little, which COCO's reader makes itself."""
    return {
        remark: Finding(int(np.count_nonzero(shared)), names[int(np.argmax(shared))])
        for remark, shared in alike(names).items()
        if shared.any()
    }


def _require_boxes(documents: dict[str, Document], notes: dict[str, Finding], place: Path) -> None:
    if not any(document["annotations"] for document in documents.values()):
        count = sum(len(document["images"]) for document in documents.values())
        reasons = "; ".join(["", *sentences(notes)])
        raise UserError(f"{place}: none of its {count} images has a labelled box{reasons}")


def require_apart(out: Path, images: Path, annotations: Path | None = None) -> None:
    """UserError where the output would be written to one of the input folders."""
    real = Path(os.path.realpath(out))
    for option, theirs in (("--images", images), ("--annotations", annotations)):
        place = Path(os.path.realpath(theirs)) if theirs else None
        if place and place.is_dir() and (real == place or place in real.parents):
            raise UserError(
                f"{out}: lies in the folder of {option}, in which nothing is written; choose "
                "another place"
            )


def reader_of(format_name: str) -> Any:
    """The module of a format, with `read` and `write`."""
    return import_module(f"unidet.formats.labels.{format_name}")


# --- the COCO family ---------------------------------------------------------------------------


def _of_coco(
    source: Source, pictures: PictureFolder
) -> tuple[dict[str, Document], dict[str, Finding]]:
    documents: dict[str, Document] = {}
    notes: dict[str, Finding] = {}
    for file in source.places:
        part = part_of_file(file, source)
        if part in documents or (not part and len(source.places) > 1):
            names = ", ".join(place.name for place in source.places[:4])
            raise UserError(
                f"{file.parent}: holds {len(source.places)} annotation files ({names}); give one "
                "of them, or have two whose names, or whose folders', say train and val"
            )
        document, elsewhere = coco_document(file, pictures)
        notes = together(notes, elsewhere)
        read = annotations_of(file, tables_of(file, document))
        read.categories.texts("name")
        documents[part] = _completed(document, read, pictures)
        own = {NUMBERED if it == ID_ZERO else it: found for it, found in read.notes.items()}
        notes = together(notes, own)
    roots = set.intersection(*(_roots(document) for document in documents.values()))
    for number, name in sorted(roots):
        notes["category that stands for all others, or none, and has no box: left out"] = Finding(
            1, name
        )
        for part, document in documents.items():
            kept = [entry for entry in document["categories"] if entry["id"] != number]
            documents[part] = {**document, "categories": kept}
    return documents, notes


def _roots(document: Document) -> set[tuple[Any, str]]:
    """Id and name of a category without boxes that is the supercategory of all others, as Roboflow
    writes the project, or Labelme's background.
    """
    entries = document["categories"]
    used = {str(box["category_id"]) for box in document["annotations"]}
    return {
        (entry["id"], entry["name"])
        for entry in entries
        if len(entries) > 1 and str(entry["id"]) not in used
        if entry["name"] == "_background_" or _is_above(entry, entries)
    }


def _is_above(entry: dict[str, Any], entries: list[dict[str, Any]]) -> bool:
    """Whether a category is the supercategory of all others, and has none."""
    others = [other for other in entries if other is not entry]
    return entry.get("supercategory") == "none" and all(
        other.get("supercategory") == entry["name"] for other in others
    )


def _unlabelled(documents: dict[str, Document], pictures: PictureFolder) -> dict[str, Finding]:
    return pictures.unlisted(set().union(*map(names_of, documents.values())))


def part_of_file(file: Path, source: Source) -> str:
    """The part of one of several files, from its name or the name of its folder.

    Roboflow writes `train/_annotations.coco.json` and `valid/_annotations.coco.json`.
    """
    if len(source.places) == 1:
        return ""
    return part_named(file.stem) or part_named(file.parent.name)


def coco_document(file: Path, pictures: PictureFolder) -> tuple[Document, dict[str, Finding]]:
    """The content of a file, with paths of images relative to the images folder, and a note on
    boxes that are not where their polygons are, as in TACO's first release.

    This also finds images that are in the folder of the file, or in folders of their own.
    """
    rows: list[int] = []

    def look(key: str, start: int, records: list[Any]) -> None:
        if key == "annotations":
            rows.extend(row for row, record in enumerate(records, start) if _is_elsewhere(record))

    document = read_document(file, look)
    remark = "box that is not around its 'segmentation': kept, as officially"
    notes = {remark: Finding(len(rows), f"annotations[{rows[0]}]")} if rows else {}
    return _placed(document, file, pictures), notes


def _is_elsewhere(record: Any) -> bool:
    return isinstance(record, dict) and is_elsewhere(record.get("bbox"), record.get("segmentation"))


def _placed(document: Document, file: Path, pictures: PictureFolder) -> Document:
    """A document whose names of images that are beside its file, or in some folder below that of
    the images, have that folder before them.

    Only names without a folder are searched everywhere; those of a file that is called like a part,
    not in folders of another part.
    """
    if not isinstance(document.get("images"), list):
        return document
    home, root = (Path(os.path.realpath(folder)) for folder in (file.parent, pictures.root))
    is_inside = home != root and root in home.parents
    folder = f"{home.relative_to(root).as_posix()}/" if is_inside else ""
    part = part_named(file.stem) or PARTS.get(file.parent.name.lower(), "")
    there = {*pictures.all()}

    def found(record: Any) -> Any:
        name = record.get("file_name") if isinstance(record, dict) else None
        if not isinstance(name, str) or name in there:
            return record
        place: str | None = f"{folder}{name}"
        if place not in there:
            place = (
                None if {*"/\\"} & {*name} else pictures.find(f"{part}/{name}" if part else name)
            )
        return {**record, "file_name": place} if place else record

    return {**document, "images": [found(record) for record in document["images"]]}


def _completed(document: Document, read: Annotations, pictures: PictureFolder) -> Document:
    """Complete a document: file names as on disk, sizes, boxes, areas, category names, flags."""
    names, _ = image_names(read.images, pictures.root)
    images = [
        {**record, "file_name": name}
        for record, name in zip(document["images"], names, strict=True)
    ]
    categories = [
        {**record, "name": category.name}
        for record, category in zip(document["categories"], read.classes, strict=True)
    ]
    flags = zip(read.is_crowd.tolist(), read.is_ignored.tolist(), strict=True)
    boxed = map(_boxed, document["annotations"])
    annotations = [_flagged(record, *own) for record, own in zip(boxed, flags, strict=True)]
    tables = {"images": images, "categories": categories, "annotations": _counted(annotations)}
    return filled({**document, **tables}, pictures)


def _counted(annotations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With another id in place of 0, as Label Studio numbers: official AP would never find that."""
    spare = max((int(record["id"]) for record in annotations), default=0) + 1
    return [{**record, "id": spare} if record["id"] == 0 else record for record in annotations]


def _boxed(record: Any) -> Any:
    """An annotation without a box with the one around its segmentation."""
    if not isinstance(record, dict) or record.get("bbox"):
        return record
    around = box_around(record.get("segmentation"))
    bare = {key: value for key, value in record.items() if key != "segmentation"}
    return record if around is None else {**bare, "bbox": around}


def _flagged(record: dict[str, Any], is_crowd: bool, is_ignored: bool) -> dict[str, Any]:
    flags = {"iscrowd": is_crowd, "ignore": is_ignored}
    written = {key: int(value) for key, value in flags.items() if value or key in record}
    return {**record, **written}


def filled(document: Document, pictures: PictureFolder) -> Document:
    """Add missing sizes and areas to a document, which may have faults.

    Raises:
        UserError: a file of an image without a size is not an image.
    """
    images, annotations = document.get("images"), document.get("annotations")
    if isinstance(images, list):
        document = {**document, "images": [_sized(record, pictures) for record in images]}
    if isinstance(annotations, list):
        document = {**document, "annotations": [_with_area(record) for record in annotations]}
    return document


def _sized(record: Any, pictures: PictureFolder) -> Any:
    if not isinstance(record, dict):
        return record
    unknown = [row for row, side in enumerate(_SIDES) if record.get(side) in (None, 0)]
    if not unknown:
        return record
    written = record.get("file_name")
    name = pictures.find(written) if isinstance(written, str) else None
    if name is None:
        return record
    sides = pictures.size(name)
    return {**record, **{_SIDES[row]: sides[row] for row in unknown}}


def _with_area(record: Any) -> Any:
    if not isinstance(record, dict) or "area" in record:
        return record
    box = record.get("bbox") or box_around(record.get("segmentation"))
    sides = box[2:] if isinstance(box, list) else []
    if len(sides) != 2 or not all(isinstance(side, int | float) for side in sides):
        return record
    return {**record, "area": sides[0] * sides[1]}
