"""A split as one `.npz` file whose bytes depend on nothing but its content, not on its name; its
columns are mapped into memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.records import Category, Split
from unidet.store.arrays import malformed, map_arrays, readable, require_arrays, save_arrays
from unidet.store.stored_json import text, whole

_COLUMNS = {
    "image_ids": np.int64,
    "widths": np.int32,
    "heights": np.int32,
    "box_image": np.int32,
    "boxes_xyxy": np.float32,
    "labels": np.int32,
    "is_crowd": np.bool_,
}


def save_split(split: Split, path: Path) -> None:
    """Write a split; names and categories go in as JSON text, so that no pickle is needed."""
    texts = {
        "file_names": split.file_names,
        "categories": [asdict(category) for category in split.categories],
    }
    encoded = json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()
    columns = {
        column: np.asarray(getattr(split, column), dtype) for column, dtype in _COLUMNS.items()
    }
    save_arrays(path, {"texts": np.frombuffer(encoded, np.uint8), **columns})


def load_split(path: Path, name: str) -> Split:
    """Read what `save_split` wrote, under a name.

    Raises:
        UserError: it is missing or cannot be read.
        Malformed: it holds anything else.
    """
    try:
        with readable(path):
            arrays = map_arrays(path)
            columns = {column: arrays[column] for column in _COLUMNS}
            texts = json.loads(arrays["texts"].tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    _check(path, columns)
    with readable(path):
        file_names = tuple(map(text, texts["file_names"]))
        categories = tuple(_category(values) for values in texts["categories"])
    if len(file_names) != len(columns["image_ids"]):
        malformed(path, f"{len(file_names)} names of files")
    if columns["labels"].size and columns["labels"].max() >= len(categories):
        malformed(path, f"labels that are not among {len(categories)} categories")
    return Split(name=name, file_names=file_names, categories=categories, **columns)


def _check(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Whether columns, which may come from elsewhere, are of one length each way."""
    images, boxes = columns["image_ids"].size, columns["labels"].size
    of_images = ("image_ids", "widths", "heights")
    kinds: dict[str, tuple[str, tuple[int | None, ...]]] = {
        name: (np.dtype(dtype).kind, (images if name in of_images else boxes,))
        for name, dtype in _COLUMNS.items()
    }
    kinds["boxes_xyxy"] = ("f", (boxes, 4))
    require_arrays(path, columns, kinds)
    if boxes and not 0 <= columns["box_image"].min() <= columns["box_image"].max() < images:
        malformed(path, f"boxes of images that are not among {images}")
    if (columns["box_image"][1:] < columns["box_image"][:-1]).any():
        malformed(path, "boxes that are not in the order of the images")
    if boxes and columns["labels"].min() < 0:
        malformed(path, "labels below 0")
    if not np.isfinite(columns["boxes_xyxy"]).all():
        malformed(path, "boxes that are not finite")
    if images and min(columns["widths"].min(), columns["heights"].min()) < 1:
        malformed(path, "images without an area")


def _category(values: dict[str, Any]) -> Category:
    plain = {**values, "synonyms": tuple(map(text, values["synonyms"]))}
    return Category(id=whole(plain.pop("id")), name=text(plain.pop("name")), **plain)
