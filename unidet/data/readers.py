"""Readers of the COCO-json family: COCO, LVIS v0.5 and v1, Objects365 v2, converted OpenImages.

One reader suffices: the formats differ in where images lie (`image_files.py`) and in optional
fields.
What is left out follows the official code (mmdet 2.18 datasets/coco.py, `_parse_ann_info`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unidet.data.image_files import image_names
from unidet.data.table import Table, read_json
from unidet.errors import UserError
from unidet.records import Category, Split

SMALLEST_SIDE = 1.0  # pixels; thinner boxes are left out, as officially


@dataclass(frozen=True)
class Finding:
    """How often something was met, and the first record it was met in."""

    count: int
    first: str


@dataclass(frozen=True)
class ReadReport:
    """What became of one annotation file.

    Attributes:
        source: the file that was read.
        images, boxes, crowds: how many the split holds; boxes include crowds.
        skipped: reason -> boxes that were left out.
        noted: remark -> records that were kept.
    """

    source: str
    images: int
    boxes: int
    crowds: int
    skipped: dict[str, Finding] = field(default_factory=dict)
    noted: dict[str, Finding] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The report for the terminal, one fact a line."""
        crowds = f" ({self.crowds} crowds)" if self.crowds else ""
        head = f"{self.source}: {self.images} images, {self.boxes} boxes{crowds}"
        skipped = [f"  skipped {line}" for line in _sentences(self.skipped)]
        return [head, *skipped, *(f"  note: {line}" for line in _sentences(self.noted))]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for a manifest."""
        return asdict(self)


def read_split(annotations: Path, images: Path | None, *, name: str) -> tuple[Split, ReadReport]:
    """Read and validate one annotation file.

    Images keep the order of the file; labels are positions in the categories sorted by id. Boxes
    reaching over the border are clipped to the image. `image_count` and `instance_count` of a
    category are counted from the boxes of this split, crowds included (scripts/get_cat_info.py).

    Args:
        annotations: a COCO-style JSON file.
        images: folder with the images; None leaves file names as written, unchecked.
        name: the split's name.

    Raises:
        UserError: naming file and record, for anything that cannot be skipped safely.
    """
    content = read_json(annotations)
    category_table = Table.of(annotations, content, "categories")
    image_table = Table.of(annotations, content, "images")
    box_table = Table.of(annotations, content, "annotations")

    categories = _categories(category_table)
    image_ids = image_table.ids()
    widths, heights = (_lengths(image_table, side) for side in ("width", "height"))
    file_names = image_names(image_table, images)

    box_table.ids()
    category_ids = np.array([category.id for category in categories])
    image_rows = box_table.rows_in("image_id", image_ids, "images")
    labels = box_table.rows_in("category_id", category_ids, "categories")
    limits = np.stack([widths[image_rows], heights[image_rows]] * 2, axis=1)
    boxes, problems, overhang = _boxes(box_table, limits)

    kept = ~np.logical_or.reduce(list(problems.values()))
    if not kept.any():
        raise UserError(f"{annotations}: none of its {len(box_table)} annotations has a usable box")
    order = np.flatnonzero(kept)
    order = order[np.argsort(image_rows[order], kind="stable")]
    split = Split(
        name=name,
        image_ids=image_ids,
        file_names=file_names,
        widths=widths,
        heights=heights,
        box_image=image_rows[order],
        boxes_xyxy=boxes[order],
        labels=labels[order],
        is_crowd=box_table.flags("iscrowd")[order],
        categories=_counted(categories, image_rows[order], labels[order]),
    )
    report = ReadReport(
        source=str(annotations),
        images=len(split),
        boxes=len(order),
        crowds=int(split.is_crowd.sum()),
        skipped=_findings(box_table, problems),
        noted=_findings(box_table, {"box clipped to its image": overhang & kept})
        | _findings(image_table, {"image without boxes": _boxless(split)}),
    )
    return split, report


def _categories(table: Table) -> list[Category]:
    ids, names = table.ids(), table.texts("name")
    for row, record in enumerate(table.records):
        if record.get("frequency") not in (None, "r", "c", "f"):
            table.fail(row, f"'frequency' is {record['frequency']!r}, must be 'r', 'c' or 'f'")
    return [
        Category(
            int(ids[row]),
            names[row],
            table.records[row].get("frequency"),
            synonyms=tuple(table.records[row].get("synonyms", ())),
        )
        for row in np.argsort(ids)
    ]


def _lengths(table: Table, side: str) -> np.ndarray:
    lengths = table.integers(side)
    wrong = np.flatnonzero((lengths < 1) | (lengths > np.iinfo(np.int32).max))
    if len(wrong):
        table.fail(int(wrong[0]), f"'{side}' is {lengths[wrong[0]]}, must be at least 1 pixel")
    return lengths.astype(np.int32)


def _boxes(
    table: Table, limits: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Clipped boxes (M, 4) float32, masks (M,) of the unusable, mask of those that were clipped.

    `limits` (M, 4) is (width, height, width, height) of each box's image. A box is counted under
    the first reason that holds for it.
    """
    xywh = table.numbers("bbox", width=4).astype(np.float64)
    area = table.numbers("area", default=1.0)
    finite = np.isfinite(xywh).all(axis=1) & np.isfinite(area)
    xywh = np.where(finite[:, None], xywh, 0.0)
    xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    inside = np.clip(xyxy, 0, limits)
    reasons = {
        "annotation marked 'ignore'": table.flags("ignore"),
        "box that is not finite": ~finite,
        f"box thinner than {SMALLEST_SIDE:g} pixel": (xywh[:, 2:] < SMALLEST_SIDE).any(axis=1),
        "box outside its image": (inside[:, 2:] <= inside[:, :2]).any(axis=1),
        "area that is not positive": area <= 0,
    }
    taken = np.zeros(len(table), bool)
    for reason, mask in reasons.items():
        reasons[reason] = mask & ~taken
        taken |= mask
    clipped = (np.abs(inside - xyxy) > 1.0).any(axis=1)  # below a pixel it is rounding
    return inside.astype(np.float32), reasons, clipped


def _counted(
    categories: list[Category], image_rows: np.ndarray, labels: np.ndarray
) -> tuple[Category, ...]:
    count = len(categories)
    instances = np.bincount(labels, minlength=count)
    pairs = np.unique(image_rows.astype(np.int64) * count + labels)
    image_counts = np.bincount(pairs % count, minlength=count)
    return tuple(
        replace(category, image_count=int(images), instance_count=int(boxes))
        for category, images, boxes in zip(categories, image_counts, instances, strict=True)
    )


def _boxless(split: Split) -> np.ndarray:
    return np.bincount(split.box_image, minlength=len(split)) == 0


def _findings(table: Table, masks: dict[str, np.ndarray]) -> dict[str, Finding]:
    return {
        reason: Finding(int(mask.sum()), table.where(int(np.argmax(mask))))
        for reason, mask in masks.items()
        if mask.any()
    }


def _sentences(findings: dict[str, Finding]) -> list[str]:
    return [f"{found.count} × {what}, first {found.first}" for what, found in findings.items()]
