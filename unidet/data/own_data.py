"""Own data in any format as COCO's documents: one for each part that the data are divided in."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from unidet.data.image_files import image_names
from unidet.data.pictures import PictureFolder, unlisted
from unidet.errors import UserError
from unidet.formats.annotations import Annotations, annotations_of, sentences
from unidet.formats.findings import Finding
from unidet.formats.json_text import read_document
from unidet.formats.labels.coco import Document, document_of
from unidet.formats.labels.recognize import Source, recognize
from unidet.formats.labels.records import (
    TEST,
    TRAIN,
    VAL,
    Refuse,
    by_part,
    part_named,
    strictly,
    with_plain_names,
)
from unidet.formats.tables import tables_of


@dataclass(frozen=True)
class OwnData:
    """What was found.

    Attributes:
        format: one of `recognize.FORMATS`.
        documents: by part, `train` and `val`, or one under the empty name where there are none;
            `file_name` is relative to the images folder, every image has a size and every
            annotation an area.
        findings: what was read otherwise than written, or left out.
    """

    format: str
    documents: dict[str, Document]
    findings: dict[str, Finding]

    @property
    def notes(self) -> list[str]:
        """The findings, a line each."""
        return sentences(self.findings)

    @property
    def is_divided(self) -> bool:
        return "" not in self.documents


def read_own(place: Path, images: Path, as_format: str = "", refuse: Refuse = strictly) -> OwnData:
    """Read the labels at a place, whose pictures lie below `images`.

    Raises:
        UserError: naming file and record, for whatever cannot be read; the first one, unless
            `refuse` takes the faults of records.
    """
    source = recognize(place, as_format)
    pictures = PictureFolder(images)
    if source.format == "coco":
        return _of_coco(source, pictures)
    labels = with_plain_names(reader_of(source.format).read(source.places[0], pictures, refuse))
    if not any(image.boxes for image in labels.images):
        reasons = "; ".join(["", *sentences(labels.notes)])
        raise UserError(
            f"{place}: none of its {len(labels.images)} pictures has a labelled box{reasons}"
        )
    documents = {part: document_of(own) for part, own in by_part(labels).items()}
    return _with_parts(source.format, documents, labels.notes | _unlabelled(documents, pictures))


def require_apart(out: Path, images: Path, annotations: Path | None = None) -> None:
    """UserError where what is to be written lies in one of the user's own folders."""
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


def _of_coco(source: Source, pictures: PictureFolder) -> OwnData:
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
        document = coco_document(file, pictures)
        read = annotations_of(file, tables_of(file, document))
        read.categories.texts("name")
        documents[part] = _completed(document, read, pictures)
        for remark, finding in read.notes.items():
            known = notes.get(remark, Finding(0, finding.first))
            notes[remark] = Finding(known.count + finding.count, known.first)
    return _with_parts(source.format, documents, notes | _unlabelled(documents, pictures))


def _unlabelled(documents: dict[str, Document], pictures: PictureFolder) -> dict[str, Finding]:
    listed = {image["file_name"] for own in documents.values() for image in own["images"]}
    return unlisted(listed, pictures)


def part_of_file(file: Path, source: Source) -> str:
    """What one of several files of a source says by its name that it is for, or by its folder's:
    `train/_annotations.coco.json` and `valid/_annotations.coco.json` of Roboflow."""
    if len(source.places) == 1:
        return ""
    return part_named(file.stem) or part_named(file.parent.name)


def coco_document(file: Path, pictures: PictureFolder) -> Document:
    """What a file says; pictures that lie beside it, and not where it says, by their paths below
    the images folder."""
    document = read_document(file)
    home, root = (Path(os.path.realpath(folder)) for folder in (file.parent, pictures.root))
    if home == root or root not in home.parents or not isinstance(document.get("images"), list):
        return document
    folder, there = home.relative_to(root).as_posix(), {*pictures.all()}

    def found(record: Any) -> Any:
        name = record.get("file_name") if isinstance(record, dict) else None
        beside = f"{folder}/{name}"
        return {**record, "file_name": beside} if name not in there and beside in there else record

    return {**document, "images": [found(record) for record in document["images"]]}


def _completed(document: Document, read: Annotations, pictures: PictureFolder) -> Document:
    """With the names of the files as they lie on disk, sizes and areas; names of categories and
    flags as they were read, whichever way they were written."""
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
    annotations = [
        _flagged(record, *own) for record, own in zip(document["annotations"], flags, strict=True)
    ]
    tables = {"images": images, "categories": categories, "annotations": annotations}
    return filled({**document, **tables}, pictures)


def _flagged(record: dict[str, Any], is_crowd: bool, is_ignored: bool) -> dict[str, Any]:
    flags = {"iscrowd": is_crowd, "ignore": is_ignored}
    written = {key: int(value) for key, value in flags.items() if value or key in record}
    return {**record, **written}


def filled(document: Document, pictures: PictureFolder) -> Document:
    """A document, perhaps with faults, with the sizes and areas that it leaves out.

    Raises:
        UserError: a picture without a size that is none.
    """
    images, annotations = document.get("images"), document.get("annotations")
    if isinstance(images, list):
        document = {**document, "images": [_sized(record, pictures) for record in images]}
    if isinstance(annotations, list):
        document = {**document, "annotations": [_with_area(record) for record in annotations]}
    return document


def _sized(record: Any, pictures: PictureFolder) -> Any:
    if not isinstance(record, dict) or {"width", "height"} & record.keys():
        return record
    written = record.get("file_name")
    name = pictures.find(written) if isinstance(written, str) else None
    if name is None:
        return record
    width, height = pictures.size(name)
    return {**record, "width": width, "height": height}


def _with_area(record: Any) -> Any:
    if not isinstance(record, dict) or "area" in record:
        return record
    sides = record["bbox"][2:] if isinstance(record.get("bbox"), list) else []
    if len(sides) != 2 or not all(isinstance(side, int | float) for side in sides):
        return record
    return {**record, "area": sides[0] * sides[1]}


# --- parts -------------------------------------------------------------------------------------


def _with_parts(
    format_name: str, documents: dict[str, Document], notes: dict[str, Finding]
) -> OwnData:
    """Training and evaluation part, or all as one; of test images only where nothing else is for
    evaluation."""
    if TEST in documents and VAL not in documents:
        documents[VAL] = documents.pop(TEST)
    if TEST in documents:
        remark = "picture of the part test: left out, val is for evaluation"
        notes = notes | _left_out(remark, documents.pop(TEST))
    if {TRAIN, VAL} <= documents.keys():
        if "" in documents:
            notes = notes | _left_out("picture of no part: left out", documents.pop(""))
        _require_same_categories(documents)
        return OwnData(format_name, documents, notes)
    first, *more = documents.values()
    return OwnData(format_name, {"": joined(first, more)}, notes)


def _left_out(remark: str, document: Document) -> dict[str, Finding]:
    names = [image["file_name"] for image in document["images"]]
    return {remark: Finding(len(names), names[0])} if names else {}


def joined(first: Document, more: list[Document]) -> Document:
    """Several documents of the same categories as one; ids are counted anew where they collide."""
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


def _require_same_categories(documents: dict[str, Document]) -> None:
    train, val = (
        {(entry["id"], entry["name"]) for entry in documents[part]["categories"]}
        for part in (TRAIN, VAL)
    )
    if train != val:
        raise UserError(
            f"train and val have different categories ({len(train)} and {len(val)}, by id and "
            f"name), first {sorted(train ^ val)[0]}; one study learns and evaluates the same names"
        )


def divide(
    document: Document, *, seed: int, fraction: float, digest_of: Callable[[str], str]
) -> dict[str, Document]:
    """A training and an evaluation part of one document.

    Which image belongs where depends on the seed and on the content of the pictures alone. Copies
    of a picture stay together; as far as its pictures allow, a name has boxes in both parts. The
    only picture of a name is for training: its AP without any would be 0.

    Args:
        fraction: of the annotated images for evaluation, one at least; fewer where every name is
            to keep a picture for training.
        digest_of: sha256 of a picture's file, by its name.

    Raises:
        UserError: there are fewer than two different annotated pictures.
    """
    categories: dict[int, set[int]] = {}
    for box in document["annotations"]:
        categories.setdefault(box["image_id"], set()).add(box["category_id"])
    groups: dict[str, set[int]] = {}
    copies: dict[str, list[int]] = {}
    for image in document["images"]:
        rank = hashlib.sha256(f"{seed}:{digest_of(image['file_name'])}".encode()).hexdigest()
        copies.setdefault(rank, []).append(image["id"])
        if image["id"] in categories:
            groups.setdefault(rank, set()).update(categories[image["id"]])
    if len(groups) < 2:
        raise UserError(f"{len(groups)} different annotated pictures are too few to divide")
    count = min(max(round(fraction * len(groups)), 1), len(groups) - 1)
    chosen = {number for rank in _chosen(groups, count) for number in copies[rank]}
    return {
        TRAIN: part_of(document, lambda number: number not in chosen),
        VAL: part_of(document, chosen.__contains__),
    }


def _chosen(groups: dict[str, set[int]], count: int) -> set[str]:
    """At most `count` of the pictures, by rank, for evaluation: first one for each category, rare
    ones first, then the lowest ranks. None is the last that training has of a category; only where
    each picture is, one is taken, which costs the fewest categories."""
    left = Counter(number for categories in groups.values() for number in categories)
    chosen: dict[str, None] = {}
    evaluated: set[int] = set()

    def take(rank: str) -> None:
        chosen[rank] = None
        evaluated.update(groups[rank])
        left.subtract(groups[rank])

    def lost(rank: str) -> int:
        return sum(left[number] == 1 for number in groups[rank])

    def spares(rank: str) -> bool:
        return rank not in chosen and not lost(rank)

    ranks = sorted(groups)
    for number, _ in sorted(left.items(), key=lambda item: (item[1], item[0])):
        rank = next((rank for rank in ranks if number in groups[rank] and spares(rank)), None)
        if rank is not None and number not in evaluated and len(chosen) < count:
            take(rank)
    for rank in ranks:
        if len(chosen) < count and spares(rank):
            take(rank)
    return {*chosen} or {min(ranks, key=lost)}


def part_of(document: Document, keeps: Callable[[int], bool]) -> Document:
    """The images of which `keeps` holds by id, with their annotations."""
    return {
        **document,
        "images": [image for image in document["images"] if keeps(image["id"])],
        "annotations": [box for box in document["annotations"] if keeps(box["image_id"])],
    }
