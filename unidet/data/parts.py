"""Files made of annotation files: a seeded part, images that another file lacks, frequencies.

As scripts/extract_random_images.py and scripts/get_cat_info.py of the official code do it, but in
bounded memory: of the records only those that are kept are ever held.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from unidet.errors import UserError
from unidet.formats.json_text import members, shown

Progress = Callable[[int], None]
_STEP = 100_000  # records between calls of it


@dataclass(frozen=True)
class Kept:
    """The records of a file that belong to some of its images."""

    images: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    categories: list[dict[str, Any]]


def seeded_rows(count: int, percent: float, seed: int) -> np.ndarray:
    """(int(percent / 100 * count),) rows of a random part, ascending.

    numpy's RandomState and `shuffle`, whose numbers never change: the official part, image by
    image.
    """
    rows = np.arange(count)
    np.random.RandomState(seed).shuffle(rows)
    return np.sort(rows[: int(percent / 100.0 * count)])


def part_path(source: Path, percent: float, seed: int) -> Path:
    """`NAME.1@3.5.json`, as the official script names it."""
    return source.with_name(f"{source.stem}.{seed}@{float(percent)}.json")


def frequencies_path(source: Path) -> Path:
    """`NAME_cat_info.json`, as the official script names it."""
    return source.with_name(f"{source.stem}_cat_info.json")


def random_part(source: Path, percent: float, seed: int, progress: Progress) -> Kept:
    """A seeded part of the images, with their annotations.

    Raises:
        UserError: the file is malformed, or the part would be empty.
    """
    ids = [_id(source, record) for record in _of(source, "images", progress)]
    rows = seeded_rows(len(ids), percent, seed)
    if not len(rows):
        raise UserError(f"{source}: {percent:g} % of its {len(ids)} images is none; take more")
    return _kept(source, {ids[row] for row in rows.tolist()}, progress)


def images_without(source: Path, other: Path, progress: Progress) -> Kept:
    """The images of a file that another one lacks, by id, with their annotations."""
    taken = {_id(other, record) for record in _of(other, "images", progress)}
    own = {_id(source, record) for record in _of(source, "images", progress)}
    return _kept(source, own - taken, progress)


def image_names(source: Path, progress: Progress) -> list[str]:
    """`file_name` of every image."""
    return [str(record.get("file_name")) for record in _of(source, "images", progress)]


def _kept(source: Path, ids: set[Any], progress: Progress) -> Kept:
    kept = Kept([], [], [])
    tables = {"images": kept.images, "categories": kept.categories}
    for count, (key, record) in enumerate(_objects(source)):
        if key == "annotations":
            if record.get("image_id") in ids:
                kept.annotations.append(record)
        elif key == "categories" or record["id"] in ids:
            tables[key].append(record)
        if count % _STEP == 0:
            progress(count)
    return kept


def _of(source: Path, wanted: str, progress: Progress) -> Iterator[Any]:
    for count, (key, record) in enumerate(_objects(source)):
        if key == wanted:
            yield record
        if count % _STEP == 0:
            progress(count)


def _id(source: Path, record: dict[str, Any]) -> Any:
    if not isinstance(record.get("id"), int | str):
        raise UserError(
            f"{source}: an image has the id {shown(record.get('id'))}, must be a number"
        )
    return record["id"]


def write_annotations(kept: Kept, out: TextIO) -> None:
    """Images, annotations and categories, in the official script's order."""
    for start, (key, records) in enumerate(vars(kept).items()):
        out.write(f"{', ' if start else '{'}{json.dumps(key)}: [")
        for row, record in enumerate(records):
            out.write(f"{', ' if row else ''}{json.dumps(record)}")
        out.write("]")
    out.write("}")


def frequencies(source: Path, progress: Progress) -> list[dict[str, Any]]:
    """The categories of a file with `image_count` and `instance_count`.

    Raises:
        UserError: the file is malformed, or an annotation is of no category.
    """
    categories: list[dict[str, Any]] = []
    images: dict[Any, set[Any]] = {}
    instances: Counter[Any] = Counter()
    for count, (key, record) in enumerate(_objects(source)):
        if key == "categories":
            categories.append(record)
        elif key == "annotations":
            images.setdefault(record.get("category_id"), set()).add(record.get("image_id"))
            instances[record.get("category_id")] += 1
        if count % _STEP == 0:
            progress(count)
    unknown = [number for number in images if number not in {c.get("id") for c in categories}]
    if unknown:
        raise UserError(f"{source}: category_id {shown(unknown[0])} is not among its categories")
    return [
        {
            **category,
            "image_count": len(images.get(category.get("id"), ())),
            "instance_count": instances[category.get("id")],
        }
        for category in categories
    ]


def _objects(source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Images, annotations and categories; UserError where one is no object."""
    for key, batches, _ in members(source, exactly=True):
        if key not in ("images", "annotations", "categories") or batches is None:
            continue
        for record in chain.from_iterable(batch.values for batch in batches):
            if not isinstance(record, dict):
                raise UserError(f"{source}: one of its {key} is {shown(record)}, must be an object")
            yield key, record
