"""Files with the detections of all images: COCO results, or a table."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unidet.errors import UserError
from unidet.formats.annotations import Annotations, read_annotations
from unidet.pictures.detections import Detections
from unidet.pictures.journal import JOURNAL
from unidet.pictures.sources import Source
from unidet.report.cells import harmless
from unidet.store.disk import whole_file
from unidet.vocabularies.vocabulary import plain

RESULTS, IMAGES, TABLE, CLASSES = "detections.json", "images.json", "detections.csv", "classes.txt"
FILES = {"coco": (RESULTS, IMAGES), "csv": (TABLE,), "yolo": (CLASSES,), "voc": (), "labelme": ()}
"""Format -> the files with the detections of all images."""
_LISTED = 12  # most categories that a message lists


@dataclass(frozen=True)
class Row:
    """One image or frame: its path below the sources' folders, its path, and its detections."""

    name: str
    path: str
    detections: Detections


@dataclass(frozen=True)
class Ids:
    """Ids of images and categories.

    Attributes:
        categories: (C,) ids of the names, in their order.
        images: ids by the end of the path; None numbers images 1, 2, … in order.
    """

    categories: Sequence[int]
    images: dict[str, int] | None = None

    @classmethod
    def counted(cls, names: Sequence[str]) -> Ids:
        """Ids 1, 2, … for categories and images."""
        return cls(range(1, len(names) + 1))

    def image(self, name: str, number: int) -> int:
        """The id of the image of this name, the `number`-th of all."""
        if self.images is None:
            return number
        return next(self.images[end] for end in ends_of(name) if end in self.images)


@dataclass(frozen=True)
class Numbers:
    """The ids of a COCO or LVIS file: images by the ends of their paths, categories by name."""

    file: Path
    images: dict[str, int]
    categories: dict[str, int]

    @classmethod
    def read(cls, path: Path) -> Numbers:
        """Read a file; raises UserError as `read_annotations`."""
        return cls.of(read_annotations(path))

    @classmethod
    def of(cls, annotations: Annotations) -> Numbers:
        """The ids of a file that was read. Ambiguous names get no id."""
        written = (annotations.images.values(field) for field in ("file_name", "coco_url"))
        names = [str(name or url) for name, url in zip(*written, strict=True)]
        images: dict[str, int] = {}
        for parts in (1, 0):  # an id by folder and name precedes one by name
            ends = [ends_of(name)[parts] for name in names]
            count = Counter(ends)
            pairs = zip(ends, annotations.image_ids.tolist(), strict=True)
            images |= {end: number for end, number in pairs if count[end] == 1}
        categories = {plain(category.name): category.id for category in annotations.classes}
        return cls(annotations.images.file, images, categories)

    def known(self, sources: Sequence[Source]) -> list[Source]:
        """The sources that are images of the file; UserError if there are none."""
        known = [source for source in sources if self.images.keys() & set(ends_of(source.name))]
        if not known:
            raise UserError(f"{self.file}: has no image {sources[0].name}, nor any other source")
        return known

    def other(self, listed: Annotations, *, class_agnostic: bool) -> str:
        """Which image another file lists under another id, else which category unless
        `class_agnostic`; empty if there is none."""
        for number, name in zip(
            listed.image_ids.tolist(), listed.images.values("file_name"), strict=True
        ):
            ends = ends_of(str(name))
            own = next((self.images[end] for end in ends if end in self.images), number)
            if own != number:
                return f"image {name!r} is {number} there, {own} in {self.file}"
        for category in () if class_agnostic else listed.classes:
            own = self.categories.get(plain(category.name), category.id)
            if own != category.id:
                return f"category {category.name!r} is {category.id} there, {own} in {self.file}"
        return ""

    def ids(self, names: Sequence[str]) -> Ids:
        """Ids of these categories and all images; UserError if the file lacks a category."""
        for name in names:
            if plain(name) not in self.categories:
                raise UserError(
                    f"{self.file}: has no category {name!r}, which is to be detected; to detect "
                    f"those that it has alone: --vocab {self._vocabulary()}"
                )
        return Ids([self.categories[plain(name)] for name in names], self.images)

    def _vocabulary(self) -> str:
        """The argument of `--vocab` for the file's categories."""
        names = list(self.categories)
        if len(names) > _LISTED or any(set(',"$`\\') & set(name) for name in names):
            return f"FILE with its {len(names)} names, one a line"
        return f'"{", ".join(names)}"'


def require_ids_of(truth: Annotations, results: Path, *, class_agnostic: bool = False) -> None:
    """UserError where `results` is what `detect` wrote with ids of its own, not those of `truth`.

    The images and categories beside it say so; ids of both files may be the same numbers.
    """
    listed = results.with_name(IMAGES)
    if results.name != RESULTS or not results.with_name(JOURNAL).is_file() or not listed.is_file():
        return
    if other := Numbers.of(truth).other(read_annotations(listed), class_agnostic=class_agnostic):
        raise UserError(
            f"{results}: its ids are those of {listed}: {other}; detect with the ids of that file: "
            f"unidet detect … --annotations {truth.images.file}"
        )


def ends_of(name: str) -> tuple[str, str]:
    """The last folder and the name, and the name alone, which annotation files may contain."""
    parts = name.split("/")
    return "/".join(parts[-2:]), parts[-1]


def write_results(
    format: str, place: Callable[[str], Path], rows: Iterator[Row], names: Sequence[str], ids: Ids
) -> None:
    """Write the files of `FILES[format]` atomically, with one image in memory at a time.

    Args:
        place: returns the path for the name of a file.
    """
    if format == "coco":
        _write_coco(place(RESULTS), place(IMAGES), rows, names, ids)
    elif format == "csv":
        _write_table(place(TABLE), rows)
    elif format == "yolo":
        with whole_file(place(CLASSES)) as partial:
            partial.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _write_coco(
    results: Path, images: Path, rows: Iterator[Row], names: Sequence[str], ids: Ids
) -> None:
    """Write a list of results, and a COCO file with their images and categories.

    They are for `COCO(images).loadRes(results)` and `unidet evaluate images results --style coco`.
    """
    categories = [
        {"id": int(number), "name": name}
        for number, name in zip(ids.categories, names, strict=True)
    ]
    head = (
        f'{{"info": {{}}, "categories": {json.dumps(categories)}, "annotations": [],\n"images": ['
    )
    with _list_of(results, "[", "]") as write, _list_of(images, head, "]}") as write_image:
        for number, row in enumerate(rows, start=1):
            image_id = ids.image(row.name, number)
            height, width = row.detections.size_hw
            size = {"width": width, "height": height}
            write_image({"id": image_id, "file_name": row.name, **size})
            for record in row.detections.to_coco(image_id, np.asarray(ids.categories)):
                write(record)


@contextmanager
def _list_of(path: Path, opening: str, closing: str) -> Iterator[Callable[[Any], None]]:
    """Yield a function that writes records, one per line, between `opening` and `closing`."""
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as stream:
        separator = f"{opening}\n"

        def write(record: Any) -> None:
            nonlocal separator
            stream.write(separator + json.dumps(record))
            separator = ",\n"

        yield write
        stream.write(f"{opening}{closing}\n" if separator != ",\n" else f"\n{closing}\n")


def _write_table(path: Path, rows: Iterator[Row]) -> None:
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["image", "width", "height", "name", "score", "x1", "y1", "x2", "y2"])
        for row in rows:
            height, width = row.detections.size_hw
            for box, score, label in row.detections.rows():
                corners = [f"{value:.2f}" for value in box]
                name = harmless(row.detections.names[label])
                table.writerow([harmless(row.path), width, height, name, f"{score:.6f}", *corners])
