"""The one reader of the COCO-json family: COCO, LVIS v0.5 and v1, Objects365 v2, OpenImages.

The index of a dataset, the ground truth of an evaluation and `interchange` all start here, so that
a file means the same everywhere. What the official readers would take for something else in
silence is read as it is meant, with a note, or refused. docs/annotations.md lists it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.formats.findings import Finding
from unidet.formats.frames import check_frame
from unidet.formats.json_text import shown
from unidet.formats.names import CLEANED, plain
from unidet.formats.repeats import repeated
from unidet.formats.table import Table
from unidet.formats.tables import Tables, read_tables, table_in
from unidet.records import FREQUENCIES, Category

ID_ZERO = "annotation of id 0: official AP counts it as never found"


@dataclass(frozen=True)
class Annotations:
    """N images, C categories and M annotations, in the file's order.

    Attributes:
        file: where they come from.
        images, categories, boxes: the records, as columns.
        image_ids, annotation_ids: (N,), (M,) int64.
        classes: the categories, without counts; `is_novel` as the file says.
        sizes: (N, 2) int32 width, height in pixels; 0 where the file does not say.
        image_rows, category_rows: (M,) int32 rows into the images and categories.
        boxes_xywh: (M, 4) float64 as written, so perhaps not finite; around its segmentation where
            an annotation has none.
        is_crowd, is_ignored: (M,) bool.
        notes: remark -> records that were read otherwise than written, or than others read them.
    """

    file: Path
    images: Table
    categories: Table
    boxes: Table
    image_ids: np.ndarray
    annotation_ids: np.ndarray
    classes: tuple[Category, ...]
    sizes: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    notes: dict[str, Finding]


def read_annotations(path: Path, *, limit: int = 0) -> Annotations:
    """Read and validate one file; it may hold no annotations, but images and categories.

    With a `limit` it is read as if it held its first so many annotated images only.

    Raises:
        UserError: one line that names the file and the record: malformed JSON, fields that are
            missing or of another type, ids that are unknown or used twice, boxes that are plainly
            in another frame than x, y, width, height in pixels.
    """
    return annotations_of(Path(path), read_tables(Path(path)), limit=limit)


def annotations_of(path: Path, tables: Tables, *, limit: int = 0) -> Annotations:
    """What `read_annotations` makes of a file's tables."""
    categories = table_in(path, tables, "categories")
    images = table_in(path, tables, "images")
    boxes = table_in(path, tables, "annotations", empty=True)
    if limit:
        images, boxes = _first(images, boxes, limit)
    classes, renamed = _classes(categories)
    image_ids, sizes = images.ids(), image_sizes(images)
    annotation_ids = boxes.ids()
    image_rows = boxes.rows_in("image_id", image_ids, "images")
    category_ids = np.array([category.id for category in classes])
    category_rows = boxes.rows_in("category_id", category_ids, "categories")
    boxes_xywh = boxes.boxes()
    check_frame(path, "annotations", boxes_xywh, sizes, image_rows)
    is_crowd, crowds_noted = boxes.flags("iscrowd")
    is_ignored, ignored_noted = boxes.flags("ignore")
    return Annotations(
        file=path,
        images=images,
        categories=categories,
        boxes=boxes,
        image_ids=image_ids,
        annotation_ids=annotation_ids,
        classes=classes,
        sizes=sizes,
        image_rows=image_rows,
        category_rows=category_rows,
        boxes_xywh=boxes_xywh,
        is_crowd=is_crowd,
        is_ignored=is_ignored,
        notes=findings(
            boxes,
            {
                "box that is missing: taken around the segmentation": boxes.outlined(),
                "box that CVAT turned ('attributes'): read upright, as officially": (
                    boxes.numbers("attributes", default=0) != 0
                ),
                ID_ZERO: annotation_ids == 0,
                "annotation that came before, same category and box: AP counts it as missed": (
                    repeated(image_rows, category_rows, boxes_xywh)
                ),
            },
        )
        | crowds_noted
        | ignored_noted
        | renamed,
    )


def findings(table: Table, masks: dict[str, np.ndarray]) -> dict[str, Finding]:
    """Remark -> what its mask (N,) of records amounts to, without those that are empty."""
    by_remark = {remark: table.finding(mask) for remark, mask in masks.items()}
    return {remark: finding for remark, finding in by_remark.items() if finding is not None}


def sentences(notes: dict[str, Finding]) -> list[str]:
    """One line for each."""
    return [
        f"{finding.count} × {remark}, first {finding.first}" for remark, finding in notes.items()
    ]


def image_sizes(table: Table) -> np.ndarray:
    """(N, 2) int32 width, height; 0 where the record does not say, has `null` or 0."""
    columns = []
    for side in ("width", "height"):
        lengths = table.integers_if_any(side)
        rows = np.flatnonzero((lengths < 0) | (lengths > np.iinfo(np.int32).max)).tolist()
        if rows:
            table.fail(rows, f"'{side}' is {lengths[rows[0]]}, must be at least 1 pixel")
        columns.append(lengths.astype(np.int32))
    return np.stack(columns, axis=1)


def _first(images: Table, boxes: Table, count: int) -> tuple[Table, Table]:
    rows = boxes.rows_in("image_id", images.ids(), "images")
    kept = np.unique(rows)[:count]
    return images.take(kept), boxes.take(np.flatnonzero(np.isin(rows, kept)))


def _classes(table: Table) -> tuple[tuple[Category, ...], dict[str, Finding]]:
    names, notes = _names(table)
    novel = table.stated("is_novel")
    flags, spelt = table.flags("is_novel")
    frequencies, synonyms = table.values("frequency"), table.values("synonyms")
    for row, frequency in enumerate(frequencies):
        if frequency not in (None, *FREQUENCIES):
            table.fail(row, f"'frequency' is {shown(frequency)}, must be 'r', 'c' or 'f'")
        if synonyms[row] is not None and not _are_texts(synonyms[row]):
            table.fail(row, f"'synonyms' is {shown(synonyms[row])}, must be a list of texts")
    columns = (table.ids().tolist(), names, frequencies, synonyms)
    classes = tuple(
        Category(
            number,
            name,
            frequency,
            is_novel=bool(flags[row]) if novel[row] else None,
            synonyms=tuple(map(plain, others or ())),
        )
        for row, (number, name, frequency, others) in enumerate(zip(*columns, strict=True))
    )
    return classes, notes | spelt


def _names(table: Table) -> tuple[list[str], dict[str, Finding]]:
    """Names without control characters, empty where a record has none."""
    present = table.present("name")
    written = [
        name if there else "" for name, there in zip(table.values("name"), present, strict=True)
    ]
    for row, name in enumerate(written):
        if not (type(name) is str and plain(name)) and present[row]:
            table.fail(row, f"'name' is {shown(name)}, must be a non-empty text")
    names = [plain(name) for name in written]
    cleaned = np.array([old != new for old, new in zip(written, names, strict=True)], bool)
    masks = {CLEANED: cleaned, **alike(names)}
    return names, findings(table, masks)


def alike(names: Sequence[str]) -> dict[str, np.ndarray]:
    """A remark on names that another has but for case, spaces, underscores, and (C,) which."""
    shared = _shared(names)
    example = shown(names[int(np.argmax(shared))]) if shared.any() else ""
    remark = f"category with a name that another has but for case, spaces, underscores ({example})"
    return {remark: shared}


def _shared(names: Sequence[str]) -> np.ndarray:
    """(C,) whether a name came before, read without case, underscores and repeated spaces."""
    seen: set[str] = set()
    shared = np.zeros(len(names), bool)
    for row, name in enumerate(names):
        bare = " ".join(name.lower().replace("_", " ").split())
        shared[row] = bare in seen
        seen |= {bare} - {""}
    return shared


def _are_texts(values: Any) -> bool:
    return type(values) is list and set(map(type, values)) <= {str}
