"""Ground truth of an evaluation from COCO or LVIS JSON."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np

from unidet.formats.annotations import (
    Annotations,
    findings,
    read_annotations,
    sentences,
)
from unidet.formats.columns import LARGEST
from unidet.formats.findings import Finding
from unidet.formats.table import Table
from unidet.records import GroundTruth, rows_among


def read_ground_truth(path: Path) -> GroundTruth:
    """Reads and checks COCO or LVIS ground truth.

    Every image with `neg_category_ids` makes it LVIS (federated). A category may carry
    `"is_novel": true`.

    Raises:
        UserError: as `read_annotations`, and boxes or areas that are missing, not finite, negative.
    """
    return ground_truth_of(read_annotations(path))


def ground_truth_of(read: Annotations) -> GroundTruth:
    """The ground truth in a file that was read; raises as `read_ground_truth`."""
    read.boxes.require_sound(read.boxes_xywh)
    areas = read.boxes.finite_numbers("area")
    images, image_ranks = _ascending(read.image_ids)
    category_ids = np.array([category.id for category in read.classes], np.int64)
    categories, category_ranks = _ascending(category_ids)
    classes = [read.classes[row] for row in categories]
    novel = [category.is_novel for category in classes]
    negatives, not_exhaustive = _federated_tables(read.images, category_ids)
    return GroundTruth(
        source=str(read.file),
        image_ids=read.image_ids[images],
        category_ids=category_ids[categories],
        category_names=tuple(category.name or str(category.id) for category in classes),
        frequencies=tuple(category.frequency for category in classes),
        novel=None if None in novel else np.array(novel, bool),
        annotation_ids=read.annotation_ids,
        image_rows=image_ranks[read.image_rows],
        category_rows=category_ranks[read.category_rows],
        boxes_xywh=read.boxes_xywh,
        areas=areas,
        is_crowd=read.is_crowd,
        is_ignored=read.is_ignored,
        negatives=None if negatives is None else negatives[images][:, categories],
        not_exhaustive=None if not_exhaustive is None else not_exhaustive[images][:, categories],
        image_sizes=read.sizes[images],
        notes=tuple(sentences(read.notes | _notes(read, areas))),
    )


def _ascending(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order that sorts ids, and the place of each in it."""
    order = np.argsort(ids)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return order, ranks


def _notes(read: Annotations, areas: np.ndarray) -> dict[str, Finding]:
    """What the official evaluators count, though it can hardly be meant."""
    boxes, sizes = read.boxes_xywh, read.sizes[read.image_rows]
    known = sizes.all(axis=1)
    outside = (boxes[:, :2] >= sizes).any(axis=1) | (boxes[:, :2] + boxes[:, 2:] <= 0).any(axis=1)
    flat = (boxes[:, 2:] == 0).any(axis=1)
    of_boxes = {
        "annotation marked 'ignore': LVIS AP ignores it, COCO AP counts it unless it is a crowd": (
            read.is_ignored & ~read.is_crowd
        ),
        "degenerate box: COCO AP counts it as missed, LVIS AP leaves it out": flat,
        "box outside its image": outside & known & ~flat,
        "'area' that is neither its box's nor an outline's: AP of small, medium and large goes by "
        "it": _foreign(areas, boxes[:, 2:]),
    }
    of_images = {"image with a file name that came before": _named_again(read.images)}
    of_categories = {
        "category without 'frequency', which others have: in AP, in none of APr, APc and APf": (
            _without_frequency(read)
        )
    }
    return (
        findings(read.boxes, of_boxes)
        | findings(read.images, of_images)
        | findings(read.categories, of_categories)
    )


def _without_frequency(read: Annotations) -> np.ndarray:
    """(C,) bool; none where no category has one."""
    lacking = np.array([category.frequency is None for category in read.classes], bool)
    return lacking & ~lacking.all()


def _foreign(areas: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """(M,) bool: an area that its box, of sides (M, 2), cannot hold, pixels counted at both ends;
    all, where boxes of several sizes have one."""
    if len(np.unique(areas)) == 1 < len(np.unique(sides.prod(axis=1))):
        return np.ones(len(areas), bool)
    return areas > 1.01 * (sides + 1).prod(axis=1)


def _named_again(images: Table) -> np.ndarray:
    names: set[str] = set()
    again = np.zeros(len(images), bool)
    for row, name in enumerate(images.values("file_name")):
        if isinstance(name, str):
            again[row] = name in names
            names.add(name)
    return again


def _federated_tables(
    images: Table, category_ids: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(N, C) bool of `neg_category_ids` and `not_exhaustive_category_ids`; ids of no category
    are passed over, as officially."""
    if not images.has("neg_category_ids"):
        return None, None
    return (
        _membership(images, "neg_category_ids", category_ids),
        _membership(images, "not_exhaustive_category_ids", category_ids),
    )


def _membership(images: Table, field: str, category_ids: np.ndarray) -> np.ndarray:
    lists = images.id_lists(field)
    numbers = [*chain.from_iterable(lists)]
    rows = np.repeat(np.arange(len(lists)), [*map(len, lists)])
    if max(map(abs, numbers), default=0) >= LARGEST:  # which no category's id is
        rows = rows[[abs(number) < LARGEST for number in numbers]]
        numbers = [number for number in numbers if abs(number) < LARGEST]
    places = rows_among(category_ids, np.array(numbers, np.int64))
    table = np.zeros((len(images), len(category_ids)), bool)
    table[rows[places >= 0], places[places >= 0]] = True
    return table
