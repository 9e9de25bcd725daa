"""Shared by the label formats: images, boxes, and faults of records."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, Protocol

from unidet.errors import UserError
from unidet.formats.columns import LARGEST
from unidet.formats.findings import Finding
from unidet.formats.json_text import shown
from unidet.formats.labels.whole_files import bytes_in
from unidet.formats.names import CLEANED, plain

TRAIN, VAL, TEST = "train", "val", "test"
PARTS = {"train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL}
PARTS |= {"test": TEST, "testing": TEST}
"""Names of the parts of a dataset in the formats."""
KINDS = frozenset({"images", "labels", "annotations", "jpegimages", "obj_train_data"})
"""Folder names for kinds of files, which do not identify images."""


def part_named(name: str) -> str:
    """The part named by the first matching word of a file name; empty if there is none."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((PARTS[word] for word in words if word in PARTS), "")


class RecordFault(UserError):
    """A fault of one record: its place, its kind, and the wrong value."""

    def __init__(self, where: str, kind: str, value: str = "") -> None:
        super().__init__(f"{where}: {kind}{f', got {value}' if value else ''}")
        self.where = where
        self.kind = kind


class NoPicture(RecordFault):
    """A record names an image that is not there, by the text `written`."""

    def __init__(self, where: str, kind: str, written: object) -> None:
        super().__init__(where, kind, shown(written))
        self.written = str(written)


Refuse = Callable[[RecordFault], None]
"""Handles a fault of a record: raises it, or notes it so that the record is omitted."""
Quad = tuple[float, float, float, float]
"""Left, top, right, bottom, or four other numbers of a box."""


def strictly(fault: RecordFault) -> NoReturn:
    """The `Refuse` that raises at the first fault."""
    raise fault


@contextmanager
def leaving_out(refuse: Refuse) -> Iterator[None]:
    """Context for reading one record: its fault is passed to `refuse`."""
    try:
        yield
    except RecordFault as fault:
        refuse(fault)


@dataclass(frozen=True)
class Box:
    """A labelled box.

    `xyxy` is in absolute pixels and continuous coordinates, as in `unidet.records`. Detected boxes
    have a `score`.
    """

    name: str
    xyxy: Quad
    is_crowd: bool = False
    score: float | None = None


@dataclass(frozen=True)
class Labelled:
    """One image: its path relative to the images folder, its size, its boxes and its part.

    The part is one of `PARTS`, or empty where the format has none.
    """

    file_name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    part: str = ""


@dataclass(frozen=True)
class Labels:
    """A dataset: names in the order of categories, images, and notes on corrected records."""

    names: tuple[str, ...]
    images: tuple[Labelled, ...]
    notes: dict[str, Finding] = field(default_factory=dict)


class Pictures(Protocol):
    """The image files below one folder, by relative path."""

    root: Path

    def find(self, written: str) -> str | None:
        """The image with this path or, in any folder, with this name."""

    def of_name(self, written: str) -> Sequence[str]:
        """All images with the name of this path, in any folder."""

    def beside(self, labels: Path, below: Path) -> str | None:
        """The image of a label file below a folder: same name except for the suffix."""

    def rivals(self, labels: Path, below: Path) -> Sequence[str]:
        """Several images that a label file could be of, where `beside` finds none for that."""

    def size(self, name: str) -> tuple[int, int]:
        """Width and height in pixels, upright; UserError where it is not an image."""

    def all(self) -> Iterable[str]:
        """All images, sorted."""


class Notes:
    """Counts remarks and keeps the first place of each."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}

    def add(self, remark: str, where: str) -> None:
        known = self.findings.get(remark, Finding(0, where))
        self.findings[remark] = Finding(known.count + 1, known.first)


def picture_of(pictures: Pictures, where: str, written: str) -> str:
    """The image that a record names; RecordFault where there is none."""
    if (name := pictures.find(written)) is not None:
        return name
    raise _no_picture(pictures, where, "", written)


def _no_picture(pictures: Pictures, where: str, what: str, written: object) -> RecordFault:
    """The fault of a record whose image is not found; `what` describes the field, if any."""
    if len(alike := pictures.of_name(written) if isinstance(written, str) else ()) > 1:
        kind = f"{what} must say which image is meant, by its folder: several have that name"
        return RecordFault(where, kind.strip(), f"{shown(written)}, as of {', '.join(alike[:3])}")
    kind = f"{what} must be an image" if what else "must name an image"
    return NoPicture(where, f"{kind} below {pictures.root}", written)


def picture_of_file(pictures: Pictures, file: Path, below: Path, written: object, what: str) -> str:
    """The image of a label file: the one with its name, or else the one that it names.

    Raises:
        RecordFault: there is neither, or the two are different images because one was renamed.
    """
    own = pictures.beside(file, below)
    named = pictures.find(written) if isinstance(written, str) and written.strip() else None
    if own is None and named is None:
        raise _no_picture(pictures, str(file), f"its {what}", written)
    if own is not None and named is not None and own != named:
        raise RecordFault(
            str(file),
            f"its {what} and its own name must mean one image, correct the one that is stale",
            f"{named} and {own}",
        )
    return own or named or ""


class Owners:
    """The record with the labels of each image; a second record is a fault."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def add(self, picture: str, where: str) -> None:
        """RecordFault where another record has labels for the image."""
        first = self._of.setdefault(picture, where)
        if first != where:
            raise RecordFault(
                where,
                "must be the only labels of its image, give a place without the others",
                f"{picture}, which {first} labels too",
            )


def label_files(place: Path, pattern: str) -> Iterator[Path]:
    """The files below a folder that match a pattern, or the one file.

    Case is ignored (`A.TXT`). Hidden ones are skipped: `._a.xml` of macOS, `.ipynb_checkpoints`.
    """
    if place.is_file():
        yield place
        return
    letters = (f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in pattern)
    for file in place.rglob("".join(letters)):
        names = file.relative_to(place).parts
        if not file.is_dir() and not any(name.startswith(".") for name in names):
            yield file


def text_in(file: Path) -> str:
    """Content of a text file in UTF-8, with or without byte order mark; otherwise RecordFault."""
    try:
        return bytes_in(file).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RecordFault(str(file), "must be a text file in UTF-8, save it as such") from None
    except OSError as error:
        raise RecordFault(str(file), f"cannot be read ({error.strerror})") from None


def flag(where: str, text: str | None, what: str) -> bool:
    """A flag in one of several spellings; RecordFault for anything else."""
    word = (text or "").strip().lower()
    if word in ("1", "1.0", "true", "yes"):
        return True
    if word in ("", "0", "0.0", "-1", "false", "no", "unspecified"):  # -1: OpenImages' unknown
        return False
    raise RecordFault(where, f"{what} must be 1 or 0, true or false, yes or no", shown(text))


def require_own_files(images: Iterable[Labelled], file_of: Callable[[Labelled], str]) -> None:
    """UserError where two images would have the same file or name in the written format."""
    seen: dict[str, str] = {}
    for image in images:
        first = seen.setdefault(file_of(image), image.file_name)
        if first != image.file_name:
            raise UserError(
                f"{first} and {image.file_name}: would both be {file_of(image)} in this format, "
                "which has no endings of images in its names; rename one image"
            )


def stem_of(image: Labelled) -> str:
    """Path of an image without its suffix."""
    return os.path.splitext(image.file_name)[0]


def number(where: str, text: object, what: str) -> float:
    """A finite number, written as text or number; otherwise RecordFault."""
    try:
        value = float(text)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = math.nan
    if isinstance(text, bool) or not abs(value) < LARGEST:
        raise RecordFault(where, f"{what} must be a number", shown(text))
    return value


def size_or_header(
    where: str, width: object, height: object, pictures: Pictures, name: str
) -> tuple[int, int]:
    """`size`, or the size of the image itself where a file omits it or has 0."""
    if all(side in (None, "", 0, "0") for side in (width, height)):
        return pictures.size(name)
    return size(where, width, height)


def size(where: str, width: object, height: object) -> tuple[int, int]:
    """Integer width and height of at least one pixel; otherwise RecordFault."""
    sides = number(where, width, "width"), number(where, height, "height")
    if any(side < 1 or side % 1 for side in sides):
        raise RecordFault(
            where, "width and height must be whole pixels, at least 1", f"{width}x{height}"
        )
    return int(sides[0]), int(sides[1])


def name_of(where: str, text: object) -> str:
    """The name of a category; RecordFault where it is empty or not text."""
    if not isinstance(text, str) or not plain(text):
        raise RecordFault(where, "the name of a category must be a non-empty text", shown(text))
    return text.strip()


def around(points: Iterable[tuple[float, float]]) -> Quad:
    """The bounding box of points."""
    columns, rows = zip(*points, strict=True)
    return min(columns), min(rows), max(columns), max(rows)


def by_part(labels: Labels) -> dict[str, Labels]:
    """The labels of each part that has images, all with the same names."""
    parts = dict.fromkeys(image.part for image in labels.images)
    return {
        part: replace(labels, images=tuple(i for i in labels.images if i.part == part))
        for part in parts
    }


def by_picture(named: dict[str, set[str]], where: Path, notes: Notes) -> dict[str, str]:
    """Image -> its part, from the images that lists or folders name for each part.

    If train and val name the same images, the dataset is not divided and there are no parts. Images
    of train or val that are also in test stay in train or val.

    Raises:
        UserError: train and val share some, but not all, of their images.
    """
    train, val, test = (named.get(part, set()) for part in (TRAIN, VAL, TEST))
    if train and train == val:
        notes.add("train and val name the same images: read as not divided", str(where))
        train, val = set(), set()
    refuse_shared(train, val, where)
    for name in sorted(test & (train | val)):
        notes.add("image of test that train or val names too: counts for those", name)
    owners = ((TEST, test), (VAL, val), (TRAIN, train))
    return {name: part for part, names in owners for name in sorted(names)}


def refuse_shared(train: set[str], val: set[str], where: Path) -> None:
    """UserError where images are in both the training and the evaluation part."""
    if shared := sorted(train & val):
        raise UserError(
            f"{where}: train and val share images ({len(shared)}), first {shared[0]}; evaluation "
            "images are not trained on: correct what names them"
        )


def is_pair(value: object) -> bool:
    """Whether a JSON value can be a point."""
    return isinstance(value, list) and len(value) == 2


def with_plain_names(labels: Labels) -> Labels:
    """Labels with control characters removed from names, as for COCO; equal names are merged."""
    names = {name: plain(name) for name in labels.names}
    cleaned = [name for name in labels.names if names[name] != name]
    if not cleaned:
        return labels
    images = (
        replace(image, boxes=tuple(replace(box, name=names[box.name]) for box in image.boxes))
        for image in labels.images
    )
    notes = {**labels.notes, CLEANED: Finding(len(cleaned), shown(cleaned[0]))}
    return Labels(tuple(dict.fromkeys(names.values())), tuple(images), notes)


def names_met(images: Iterable[Labelled]) -> tuple[str, ...]:
    """The sorted names of all boxes, for formats without a list of names."""
    return tuple(sorted({box.name for image in images for box in image.boxes}))
