"""Ground truth of an evaluation split, read from COCO or LVIS JSON into columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.evaluation.json_records import Columns, read_document

FREQUENCIES = ("r", "c", "f")


@dataclass(frozen=True)
class GroundTruth:
    """N images, C categories and G annotated boxes, as the official evaluators see them.

    Attributes:
        source: what messages call it, the file's path.
        image_ids: (N,) int64, ascending.
        category_ids: (C,) int64, ascending; `category_names` in the same order.
        frequencies: C of "r", "c", "f" (LVIS), or None where the file does not say.
        novel: (C,) bool, or None where unknown.
        annotation_ids: (G,) int64 in the file's order, like every annotation column.
        image_rows, category_rows: (G,) int64 rows into the images and categories.
        boxes_xywh: (G, 4) float64, absolute pixels.
        areas: (G,) float64, the file's own (in LVIS and COCO the mask's, not the box's).
        is_crowd, is_ignored: (G,) bool.
        negatives: (N, C) bool, categories verified absent from an image; None outside LVIS.
        not_exhaustive: (N, C) bool, categories not labelled completely; None outside LVIS.
    """

    source: str
    image_ids: np.ndarray
    category_ids: np.ndarray
    category_names: tuple[str, ...]
    frequencies: tuple[str | None, ...]
    novel: np.ndarray | None
    annotation_ids: np.ndarray
    image_rows: np.ndarray
    category_rows: np.ndarray
    boxes_xywh: np.ndarray
    areas: np.ndarray
    is_crowd: np.ndarray
    is_ignored: np.ndarray
    negatives: np.ndarray | None
    not_exhaustive: np.ndarray | None

    def rows_of_images(self, image_ids: np.ndarray) -> np.ndarray:
        """(K,) int64 rows of known image ids; ValueError where one is unknown."""
        return _known_rows(self.image_ids, image_ids, "image")

    def rows_of_categories(self, category_ids: np.ndarray) -> np.ndarray:
        """(K,) int64 rows of known category ids; ValueError where one is unknown."""
        return _known_rows(self.category_ids, category_ids, "category")

    def novelty(self, given: Mapping[str, bool] | Mapping[int, bool] | None) -> np.ndarray | None:
        """(C,) bool from a mapping of category name or id to "is novel", or the file's own.

        Raises:
            UserError: the mapping misses a category.
        """
        if given is None:
            return self.novel
        values = dict[Any, bool](given)
        novel = np.zeros(len(self.category_ids), dtype=bool)
        for row, (number, name) in enumerate(
            zip(self.category_ids.tolist(), self.category_names, strict=True)
        ):
            if name not in values and number not in values:
                raise UserError(
                    f"{self.source}: novelty of category {number} ({name}) is not given"
                )
            novel[row] = values[name] if name in values else values[number]
        return novel


def read_ground_truth(path: Path) -> GroundTruth:
    """Reads and checks COCO or LVIS ground truth.

    Every image with `neg_category_ids` makes it LVIS (federated). A category may carry
    `"is_novel": true`.

    Raises:
        UserError: one line that names the file and the record: malformed JSON, missing keys,
            empty lists, duplicate or unknown ids, boxes or areas that are not finite.
    """
    path = Path(path)
    document = read_document(path)
    images = _records(path, document, "images")
    categories = _records(path, document, "categories")
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise UserError(f'{path}: lacks the list "annotations"')
    images, image_ids = _sorted_by_id(Columns(path, "image", images))
    categories, category_ids = _sorted_by_id(Columns(path, "category", categories))
    columns = Columns(path, "annotation", annotations)
    annotation_ids = _distinct(columns)
    tables = _federated_tables(path, images, category_ids)
    return GroundTruth(
        source=str(path),
        image_ids=image_ids,
        category_ids=category_ids,
        category_names=tuple(str(record.get("name", record["id"])) for record in categories),
        frequencies=_frequencies(path, categories),
        novel=_novel(categories),
        annotation_ids=annotation_ids,
        image_rows=np.searchsorted(image_ids, columns.known_ids("image_id", image_ids)),
        category_rows=np.searchsorted(category_ids, columns.known_ids("category_id", category_ids)),
        boxes_xywh=columns.boxes("bbox"),
        areas=columns.numbers("area"),
        is_crowd=columns.flags("iscrowd"),
        is_ignored=columns.flags("ignore"),
        negatives=tables[0],
        not_exhaustive=tables[1],
    )


def _known_rows(known_ids: np.ndarray, ids: np.ndarray, what: str) -> np.ndarray:
    rows = np.minimum(np.searchsorted(known_ids, ids), len(known_ids) - 1)
    if not np.array_equal(known_ids[rows], ids):
        raise ValueError(f"{what} {ids[known_ids[rows] != ids][0]} is not in the ground truth")
    return rows


def _records(path: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    records = document.get(key)
    if not isinstance(records, list):
        raise UserError(f'{path}: lacks the list "{key}"')
    if not records:
        raise UserError(f'{path}: "{key}" is empty; there is nothing to evaluate')
    return records


def _sorted_by_id(columns: Columns) -> tuple[list[dict[str, Any]], np.ndarray]:
    ids = _distinct(columns)
    order = np.argsort(ids)
    return [columns.records[row] for row in order], ids[order]


def _distinct(columns: Columns) -> np.ndarray:
    ids = columns.integers("id")
    values, first = np.unique(ids, return_index=True)
    if len(values) < len(ids):
        row = int(np.setdiff1d(np.arange(len(ids)), first)[0])
        raise columns.fault(row, f"id {ids[row]} was used before; ids must be distinct")
    return ids


def _frequencies(path: Path, categories: list[dict[str, Any]]) -> tuple[str | None, ...]:
    frequencies = tuple(record.get("frequency") for record in categories)
    for record, frequency in zip(categories, frequencies, strict=True):
        if frequency is not None and frequency not in FREQUENCIES:
            raise UserError(
                f"{path}: category {record['id']}: frequency {frequency!r}, expected r, c or f"
            )
    return frequencies


def _novel(categories: list[dict[str, Any]]) -> np.ndarray | None:
    values = [record.get("is_novel") for record in categories]
    if any(value is None for value in values):
        return None
    return np.array(values, dtype=bool)


def _federated_tables(
    path: Path, images: list[dict[str, Any]], category_ids: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if not all("neg_category_ids" in record for record in images):
        return None, None
    tables = []
    for key in ("neg_category_ids", "not_exhaustive_category_ids"):
        table = np.zeros((len(images), len(category_ids)), dtype=bool)
        for row, record in enumerate(images):
            known = np.isin(category_ids, _id_list(path, record, key))
            table[row] = known
        tables.append(table)
    return tables[0], tables[1]


def _id_list(path: Path, record: dict[str, Any], key: str) -> list[int]:
    ids = record.get(key, [])
    if not isinstance(ids, list) or not all(isinstance(number, int) for number in ids):
        raise UserError(f"{path}: image {record['id']}: {key} is no list of category ids")
    return ids
