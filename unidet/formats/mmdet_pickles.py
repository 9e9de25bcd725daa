"""Proposals and results as mmdet pickles them, and as COCO and LVIS results in JSON.

mmdet writes a list with one entry for each image, in the order of the annotation file, none left
out. For proposals the entry is an array (n, 5), float32: x1, y1, x2, y2 in original pixels and the
score. For results it is a list of such arrays, one for each category in the file's order.
Sources: tools/test.py (`mmcv.dump`), mmdet/datasets/coco.py (`_proposal2json`, `_det2json`),
roi_heads/oln_roi_head.py, core/bbox/transforms.py `bbox2result`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.formats.results import read_detections
from unidet.formats.tables import read_tables, table_in
from unidet.ops.numpy_boxes import xywh_to_xyxy, xyxy_to_xywh
from unidet.records import Detections
from unidet.weights.read import read_pickle

PROPOSAL_CATEGORY = 1
"""What mmdet writes as the category of a proposal."""


@dataclass(frozen=True)
class Order:
    """The ids of an annotation file's images and categories, in the file's order."""

    source: str
    image_ids: np.ndarray
    category_ids: np.ndarray


def read_order(annotations: Path) -> Order:
    """UserError where the file is no COCO-style JSON or an id stands there twice."""
    keys = ("images", "categories")
    tables = read_tables(annotations, keys)
    images, categories = (table_in(annotations, tables, key).ids() for key in keys)
    return Order(str(annotations), images, categories)


def is_proposals(contents: Any) -> bool:
    """Whether a pickle's list holds an array, not a list of arrays, for each image."""
    return isinstance(contents, list) and bool(contents) and isinstance(contents[0], np.ndarray)


def read_proposals(path: Path, image_ids: np.ndarray) -> list[np.ndarray]:
    """(n, 5) float32 for each of `image_ids`, best first.

    Args:
        path: mmdet's `.pkl`, whose images must be in this order, or results in JSON.

    Raises:
        UserError: unreadable, of other images, boxes or scores that are not finite.
    """
    if Path(path).suffix == ".json":
        return _grouped(read_detections(path, image_ids, None, "the dataset"), image_ids)
    contents = read_pickle(path)
    _check_length(path, contents, len(image_ids), "images")
    return [_best_first(_rows(path, f"image {i}", array)) for i, array in enumerate(contents)]


def proposals_of(path: Path, contents: Any, order: Order) -> Detections:
    """A pickle's proposals as detections of one category."""
    _check_length(path, contents, len(order.image_ids), f"images of {order.source}")
    rows = [_rows(path, f"image {index}", array) for index, array in enumerate(contents)]
    return _detections(rows, order.image_ids, [PROPOSAL_CATEGORY] * len(rows))


def results_of(path: Path, contents: Any, order: Order) -> Detections:
    """A pickle's results (list of images of list of categories) as detections."""
    _check_length(path, contents, len(order.image_ids), f"images of {order.source}")
    parts = []
    for index, (image, classes) in enumerate(zip(order.image_ids, contents, strict=True)):
        if isinstance(classes, tuple):
            raise UserError(f"{path}: image {index} holds masks beside its boxes; leave them out")
        where = f"categories of {order.source} for image {index}"
        _check_length(path, classes, len(order.category_ids), where)
        rows = [
            _rows(path, f"image {index}, category {number}", array)
            for number, array in enumerate(classes)
        ]
        parts.append(_detections(rows, np.full(len(rows), image), order.category_ids))
    return Detections.concatenate(parts)


def read_json_detections(path: Path, order: Order, *, proposals: bool) -> Detections:
    """Results in JSON; with `proposals`, category ids mean nothing."""
    known = None if proposals else order.category_ids
    detections = read_detections(path, order.image_ids, known, order.source)
    if not proposals:
        return detections
    return replace(detections, category_ids=np.full(len(detections), PROPOSAL_CATEGORY))


def proposal_arrays(detections: Detections, order: Order) -> list[np.ndarray]:
    """mmdet's list of (n, 5), best first."""
    return _grouped(detections, order.image_ids)


def result_arrays(detections: Detections, order: Order) -> list[list[np.ndarray]]:
    """mmdet's list of list of (n, 5); within a category the order of `detections` is kept."""
    count = len(order.category_ids)
    images = _positions(order.image_ids, detections.image_ids)
    cells = images * count + _positions(order.category_ids, detections.category_ids)
    rows = _split_by(cells, _xyxy_scores(detections), len(order.image_ids) * count)
    return [rows[start : start + count] for start in range(0, len(rows), count)]


def _check_length(path: Path, contents: Any, count: int, of: str) -> None:
    if not isinstance(contents, (list, tuple)):
        raise UserError(f"{path}: holds {type(contents).__name__}, must be a list of {count} {of}")
    if len(contents) != count:
        raise UserError(
            f"{path}: a list of {len(contents)}, but there are {count} {of}; mmdet's order is that "
            "of the annotation file, nothing left out"
        )


def _rows(path: Path, where: str, array: Any) -> np.ndarray:
    if isinstance(array, np.ndarray) and array.size == 0 and array.ndim == 2:
        return np.zeros((0, 5), np.float32)
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] != 5:
        shape = getattr(array, "shape", type(array).__name__)
        raise UserError(f"{path}: {where} is {shape}, must be (n, 5): x1, y1, x2, y2, score")
    with np.errstate(over="ignore"):
        rows = array.astype(np.float32) if array.dtype.kind in "fiu" else None
    if rows is None or not np.isfinite(rows).all():
        raise UserError(f"{path}: {where} holds values that are no finite numbers in float32")
    return rows


def _detections(rows: Sequence[np.ndarray], image_ids: Any, category_ids: Any) -> Detections:
    counts = [len(part) for part in rows]
    table = np.concatenate([*rows, np.zeros((0, 5), np.float32)])
    boxes = xyxy_to_xywh(table[:, :4].astype(np.float64))
    return Detections(
        np.repeat(np.asarray(image_ids, np.int64), counts),
        np.repeat(np.asarray(category_ids, np.int64), counts),
        boxes,
        table[:, 4],
    )


def _grouped(detections: Detections, image_ids: np.ndarray) -> list[np.ndarray]:
    rows = _xyxy_scores(detections)
    images = _positions(image_ids, detections.image_ids)
    return [_best_first(part) for part in _split_by(images, rows, len(image_ids))]


def _best_first(rows: np.ndarray) -> np.ndarray:
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def _xyxy_scores(detections: Detections) -> np.ndarray:
    boxes = xywh_to_xyxy(detections.boxes_xywh.astype(np.float64))
    return np.concatenate([boxes, detections.scores[:, None]], axis=1).astype(np.float32)


def _positions(known: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Where each of `ids` stands in `known`, which holds them all."""
    order = np.argsort(known)
    return order[np.searchsorted(known[order], ids)]


def _split_by(groups: np.ndarray, rows: np.ndarray, count: int) -> list[np.ndarray]:
    """The rows of each of `count` groups, in their present order."""
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=count))[:-1]
    return np.split(rows[order], ends)
