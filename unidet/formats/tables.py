"""The tables of a file of the COCO-json family, as columns; whatever its size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.formats.batch_columns import Fields
from unidet.formats.columns import (
    ANYTHING,
    BOX,
    FLAG,
    ID_LIST,
    NUMBER,
    OUTLINE,
    ROTATION,
    TEXT,
    WHOLE,
)
from unidet.formats.json_text import members, without_segmentation
from unidet.formats.json_window import Batch
from unidet.formats.scanner import scan_of
from unidet.formats.table import Table

FIELDS: dict[str, Fields] = {
    "images": {
        "id": WHOLE,
        "width": WHOLE,
        "height": WHOLE,
        "file_name": TEXT,
        "coco_url": TEXT,
        "neg_category_ids": ID_LIST,
        "not_exhaustive_category_ids": ID_LIST,
    },
    "annotations": {
        "id": WHOLE,
        "image_id": WHOLE,
        "category_id": WHOLE,
        "bbox": BOX,
        "segmentation": OUTLINE,
        "attributes": ROTATION,
        "area": NUMBER,
        "iscrowd": FLAG,
        "ignore": FLAG,
    },
    "categories": {
        "id": WHOLE,
        "name": ANYTHING,
        "frequency": ANYTHING,
        "synonyms": ANYTHING,
        "is_novel": FLAG,
    },
}
"""What is read of each table; whatever else a record has is passed over."""
Tables = Mapping[str, Table | None]
"""The tables that a file has by their keys; None where the value is no list."""


def read_tables(path: Path, keys: Iterable[str] = tuple(FIELDS)) -> dict[str, Table | None]:
    """Some of the tables of a file, unchecked; UserError where it is no JSON object."""
    tables: dict[str, Table | None] = {}
    scans = {key: scan_of(FIELDS[key]) for key in keys}
    for key, batches, _ in members(path, scans=scans):
        if key in scans:
            tables[key] = None if batches is None else Table.of(path, key, batches, FIELDS[key])
    return tables


def tables_of(path: Path, document: Mapping[str, Any]) -> dict[str, Table | None]:
    """As `read_tables`, from a file's document."""
    lists = {key: document[key] for key in document.keys() & FIELDS.keys()}
    return {
        key: Table.of(path, key, [Batch.of(records)], FIELDS[key])
        if isinstance(records, list)
        else None
        for key, records in lists.items()
    }


def table_in(path: Path, tables: Tables, key: str, *, empty: bool = False) -> Table:
    """The table under `key`; UserError where it is absent, no list of objects, or empty."""
    if key not in tables:
        raise UserError(f"{path}: has no '{key}'; expected images, annotations, categories")
    table = tables[key]
    if table is None:
        raise UserError(f"{path}: '{key}' must be a list")
    if not len(table) and not empty:
        raise UserError(f"{path}: '{key}' is empty: nothing to read")
    return table.checked()


def read_records(path: Path, rows: Mapping[str, np.ndarray | None]) -> dict[str, Any]:
    """The document of a file, without `segmentation`s beside boxes, with only these rows, which
    ascend, of some of its lists."""
    document: dict[str, Any] = {}
    for key, batches, value in members(path, exactly=True):
        if batches is not None:
            value = [*_chosen(batches, rows.get(key))]
        document[key] = without_segmentation(value)
    return document


def _chosen(batches: Iterable[Batch], rows: np.ndarray | None) -> Iterator[Any]:
    for batch in batches:
        records = batch.values
        if rows is None:
            yield from records
            continue
        first, last = np.searchsorted(rows, (batch.start, batch.start + len(records)))
        yield from (records[row - batch.start] for row in rows[first:last].tolist())
