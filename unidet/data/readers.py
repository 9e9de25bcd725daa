"""The index of a dataset from its annotation file.

What is left out follows the official code (mmdet 2.18 datasets/coco.py, `_parse_ann_info`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from unidet.counts import counted
from unidet.data.image_files import image_names
from unidet.errors import UserError
from unidet.formats.annotations import (
    Annotations,
    findings,
    sentences,
)
from unidet.formats.findings import Finding
from unidet.formats.frames import is_sound
from unidet.formats.growing import Growing, blocks, taken
from unidet.formats.table import Table
from unidet.ops.numpy_boxes import xywh_to_xyxy
from unidet.records import Category, Split

SMALLEST_SIDE = 1.0  # pixels; thinner boxes are left out, as officially
_REASONS = (
    "annotation marked 'ignore'",
    "box or area that is not finite",
    "box with a negative side",
    "box in 0..1, which is no pixel",
    f"box thinner than {SMALLEST_SIDE:g} pixel",
    "box outside its image",
    "area that is not positive",
)
"""Why a box is left out; it is counted under the first that holds."""
_FLAGS = "'iscrowd', IsGroupOf, difficult"
CROWD = f"crowd ({_FLAGS}): not trained on, COCO AP does not count it"
"""A remark on a box that is kept."""
BOXLESS = "image without boxes"
"""A remark on an image."""
PLACELESS = "as all are: labels of images? no place can be learned from them"
"""The end of a remark on boxes that are alike."""
_FEWEST = 10
"""So many boxes, in two images at least, tell something of all."""
_IMAGES_AT_ONCE = 1 << 16


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
        crowds = f" ({counted(self.crowds, 'crowd')})" if self.crowds else ""
        boxes = counted(self.boxes, "box", "boxes")
        head = f"{self.source}: {counted(self.images, 'image')}, {boxes}{crowds}"
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
    # The images first: sizes that labels lack are those of the images, where these are there.
    file_names, moved = image_names(read.images, images)
    _require_sizes_and_names(read)
    boxes = _Boxes.of(read)
    skipped = boxes.skipped(read.boxes)
    order = np.flatnonzero(boxes.reasons == 0)
    if not len(order):
        raise UserError(
            f"{read.file}: none of its {len(read.boxes)} annotations has a usable box"
            + "".join(f"; {line}" for line in sentences(skipped))
        )
    if read.is_crowd[order].all():
        raise UserError(
            f"{read.file}: all {len(order):,} usable boxes are crowds ({_FLAGS}), which are "
            "neither trained on nor counted; write 0 where each is one object"
        )
    order = _by_image(order, read.image_rows)
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
        boxes_xyxy=taken(boxes.inside, order),
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
        | findings(read.boxes, {"box clipped to its image": boxes.clipped})
        | findings(read.boxes, _placeless(split, len(read.boxes), order))
        | findings(read.images, {BOXLESS: _boxless(split)}),
    )
    return split, report


def _require_sizes_and_names(read: Annotations) -> None:
    for column, side in enumerate(("width", "height")):
        unknown = read.sizes[:, column] == 0
        if unknown.any():
            read.images.fail(np.flatnonzero(unknown).tolist(), f"'{side}' is missing or 0")
    read.categories.texts("name")


@dataclass(frozen=True)
class _Boxes:
    """The boxes of a file as they go into an index.

    Attributes:
        inside: (M, 4) float32 xyxy, clipped to their images.
        reasons: (M,) uint8, 0 of usable boxes, else 1 + the first of `_REASONS` that holds.
        clipped: (M,) bool, the usable ones that reached over their image.
    """

    inside: np.ndarray
    reasons: np.ndarray
    clipped: np.ndarray

    @classmethod
    def of(cls, read: Annotations) -> _Boxes:
        area = read.boxes.numbers("area", default=1.0)
        inside = Growing(np.float32, 4)
        reasons = np.zeros(len(area), np.uint8)
        clipped = np.zeros(len(area), bool)
        for block in blocks(read.boxes_xywh, area):
            xywh, limits = read.boxes_xywh[block], np.tile(read.sizes[read.image_rows[block]], 2)
            finite = is_sound(xywh) & np.isfinite(area[block])
            xywh = np.where(finite[:, None], xywh, 0.0)
            xyxy = xywh_to_xyxy(xywh)
            cut = np.clip(xyxy, 0, limits)
            inside.add(cut)
            masks = [read.is_ignored[block], ~finite, *_unusable(xywh, cut), area[block] <= 0]
            unusable = np.logical_or.reduce(masks)
            reasons[block] = np.where(unusable, 1 + np.argmax(masks, axis=0), 0)
            # below a pixel it is rounding
            clipped[block] = (np.abs(cut - xyxy) > 1.0).any(axis=1) & ~unusable
        return cls(inside.array(), reasons, clipped)

    def skipped(self, table: Table) -> dict[str, Finding]:
        """Reason -> the boxes that are left out for it."""
        masks = ((reason, self.reasons == row) for row, reason in enumerate(_REASONS, start=1))
        findings = ((reason, table.finding(mask)) for reason, mask in masks)
        return {reason: finding for reason, finding in findings if finding is not None}


def _unusable(xywh: np.ndarray, inside: np.ndarray) -> Iterator[np.ndarray]:
    """Masks (M,) of what `_REASONS` names from the third to the last but one."""
    thin = (xywh[:, 2:] < SMALLEST_SIDE).any(axis=1)
    yield (xywh[:, 2:] < 0).any(axis=1)
    yield thin & (np.abs(xywh) <= 1).all(axis=1) & xywh.any(axis=1)
    yield thin
    yield (inside[:, 2:] <= inside[:, :2]).any(axis=1)


def _by_image(order: np.ndarray, image_rows: np.ndarray) -> np.ndarray:
    """Rows of boxes, sorted by their image; those of one keep their order."""
    images = image_rows[order]
    is_sorted = (images[1:] >= images[:-1]).all()
    return order if is_sorted else order[np.argsort(images, kind="stable")]


def _counted(
    categories: list[Category], image_rows: np.ndarray, labels: np.ndarray
) -> tuple[Category, ...]:
    """With counts; what is novel depends on what else is trained on, not on this file."""
    count = len(categories)
    instances = np.bincount(labels, minlength=count)
    image_counts = np.zeros(count, np.int64)
    past = int(image_rows[-1]) + 1 + _IMAGES_AT_ONCE
    starts = np.arange(0, past, _IMAGES_AT_ONCE, dtype=image_rows.dtype)
    edges = np.searchsorted(image_rows, starts)
    for first, last in pairwise(edges):
        pairs = np.unique(image_rows[first:last].astype(np.int64) * count + labels[first:last])
        image_counts += np.bincount(pairs % count, minlength=count)
    return tuple(
        replace(category, image_count=int(images), instance_count=int(boxes), is_novel=None)
        for category, images, boxes in zip(categories, image_counts, instances, strict=True)
    )


def _placeless(split: Split, count: int, order: np.ndarray) -> dict[str, np.ndarray]:
    """Remark -> mask (count,) of all usable boxes, at rows `order`, that teach a detector no place:
    each is its whole image, or all are one."""
    boxes = split.boxes_xyxy
    if len(boxes) < _FEWEST or len(np.unique(split.box_image)) < 2:
        return {}
    first = slice(0, _FEWEST)  # of millions of usual boxes no more are looked at
    sides = np.stack([split.widths, split.heights], axis=1)
    for part in (first, slice(None)):
        edges = np.pad(sides[split.box_image[part]], ((0, 0), (2, 0)))
        is_whole = (np.abs(boxes[part] - edges) <= 1).all()
        is_one = (boxes[part] == boxes[0]).all()
        if not (is_whole or is_one):
            return {}
    what = "that is the whole image" if is_whole else "that is the same as every other"
    mask = np.zeros(count, bool)
    mask[order] = True
    return {f"box {what}, {PLACELESS}": mask}


def _boxless(split: Split) -> np.ndarray:
    return np.bincount(split.box_image, minlength=len(split)) == 0
