"""The index of a dataset from its annotation file.

What is left out follows the official code (mmdet 2.18 datasets/coco.py, `_parse_ann_info`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unidet.data.image_files import image_names
from unidet.errors import UserError
from unidet.formats.annotations import (
    Annotations,
    findings,
    is_sound,
    sentences,
)
from unidet.formats.table import Finding
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.records import Category, Split

SMALLEST_SIDE = 1.0  # pixels; thinner boxes are left out, as officially


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
        skipped = [f"  skipped {line}" for line in sentences(self.skipped)]
        return [head, *skipped, *(f"  note: {line}" for line in sentences(self.noted))]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for a manifest."""
        return asdict(self)


def split_of(read: Annotations, images: Path | None, *, name: str) -> tuple[Split, ReadReport]:
    """The index of an annotation file that was read.

    Images keep the order of the file; labels are positions in the categories sorted by id. Boxes
    reaching over the border are clipped to the image. `image_count` and `instance_count` of a
    category are counted from the boxes of this split, crowds included (scripts/get_cat_info.py).

    Args:
        images: folder with the images; None leaves file names as written, unchecked.
        name: the split's name.

    Raises:
        UserError: naming file and record, for anything that cannot be skipped safely.
    """
    _require_sizes_and_names(read)
    file_names, moved = image_names(read.images, images)
    boxes, reasons, overhang = _boxes(read)
    skipped = findings(read.boxes, reasons)
    kept = ~np.logical_or.reduce(list(reasons.values()))
    if not kept.any():
        raise UserError(
            f"{read.file}: none of its {len(read.boxes)} annotations has a usable box"
            + "".join(f"; {line}" for line in sentences(skipped))
        )
    order = np.flatnonzero(kept)
    order = order[np.argsort(read.image_rows[order], kind="stable")]
    by_id = np.argsort([category.id for category in read.classes])
    labels = np.argsort(by_id).astype(np.int32)[read.category_rows[order]]
    box_image = read.image_rows[order]
    split = Split(
        name=name,
        image_ids=read.image_ids,
        file_names=file_names,
        widths=read.sizes[:, 0].copy(),
        heights=read.sizes[:, 1].copy(),
        box_image=box_image,
        boxes_xyxy=boxes[order],
        labels=labels,
        is_crowd=read.is_crowd[order],
        categories=_counted([read.classes[row] for row in by_id], box_image, labels),
    )
    report = ReadReport(
        source=str(read.file),
        images=len(split),
        boxes=len(order),
        crowds=int(split.is_crowd.sum()),
        skipped=skipped,
        noted=read.notes
        | moved
        | findings(read.boxes, {"box clipped to its image": overhang & kept})
        | findings(read.images, {"image without boxes": _boxless(split)}),
    )
    return split, report


def _require_sizes_and_names(read: Annotations) -> None:
    for column, side in enumerate(("width", "height")):
        unknown = read.sizes[:, column] == 0
        if unknown.any():
            read.images.fail(np.flatnonzero(unknown).tolist(), f"'{side}' is missing")
    read.categories.texts("name")


def _boxes(read: Annotations) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Clipped boxes (M, 4) float32, masks (M,) of the unusable, mask of those that were clipped.

    A box is counted under the first reason that holds for it.
    """
    limits = np.tile(read.sizes[read.image_rows], 2)
    area = read.boxes.numbers("area", default=1.0)
    finite = is_sound(read.boxes_xywh) & np.isfinite(area)
    xywh = np.where(finite[:, None], read.boxes_xywh, 0.0)
    xyxy = xywh_to_xyxy(xywh)
    inside = np.clip(xyxy, 0, limits)
    thin = (xywh[:, 2:] < SMALLEST_SIDE).any(axis=1)
    reasons = {
        "annotation marked 'ignore'": read.is_ignored,
        "box that is not finite": ~finite,
        "box with a negative side": (xywh[:, 2:] < 0).any(axis=1),
        "box in 0..1, which is no pixel": thin & (np.abs(xywh) <= 1).all(axis=1) & xywh.any(axis=1),
        f"box thinner than {SMALLEST_SIDE:g} pixel": thin,
        "box outside its image": (inside[:, 2:] <= inside[:, :2]).any(axis=1),
        "area that is not positive": area <= 0,
    }
    taken = np.zeros(len(read.boxes), bool)
    for reason, mask in reasons.items():
        reasons[reason] = mask & ~taken
        taken |= mask
    clipped = (np.abs(inside - xyxy) > 1.0).any(axis=1)  # below a pixel it is rounding
    return inside.astype(np.float32), reasons, clipped


def _counted(
    categories: list[Category], image_rows: np.ndarray, labels: np.ndarray
) -> tuple[Category, ...]:
    """With counts; what is novel depends on what else is trained on, not on this file."""
    count = len(categories)
    instances = np.bincount(labels, minlength=count)
    pairs = np.unique(image_rows.astype(np.int64) * count + labels)
    image_counts = np.bincount(pairs % count, minlength=count)
    return tuple(
        replace(category, image_count=int(images), instance_count=int(boxes), is_novel=None)
        for category, images, boxes in zip(categories, image_counts, instances, strict=True)
    )


def _boxless(split: Split) -> np.ndarray:
    return np.bincount(split.box_image, minlength=len(split)) == 0
