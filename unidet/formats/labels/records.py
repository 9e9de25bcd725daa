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
from unidet.formats.names import CLEANED, plain

TRAIN, VAL, TEST = "train", "val", "test"
PARTS = {"train": TRAIN, "training": TRAIN, "val": VAL, "valid": VAL, "validation": VAL}
PARTS |= {"test": TEST, "testing": TEST}
"""How formats call the parts of a data set."""
KINDS = frozenset({"images", "labels", "annotations", "jpegimages", "obj_train_data"})
"""Folders that say what kind of files they hold, not which images are meant."""


def part_named(name: str) -> str:
    """The part that a word of a file's name says, the first one; empty where none does."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((PARTS[word] for word in words if word in PARTS), "")


class RecordFault(UserError):
    """A fault of one record: `where` it is, its `kind`, and the offending value."""

    def __init__(self, where: str, kind: str, value: str = "") -> None:
        super().__init__(f"{where}: {kind}{f', got {value}' if value else ''}")
        self.where = where
        self.kind = kind


Refuse = Callable[[RecordFault], None]
"""What a reader does with a fault: raise it, or note it and leave the record out."""


def strictly(fault: RecordFault) -> NoReturn:
    """The `Refuse` that raises at the first fault."""
    raise fault


@contextmanager
def leaving_out(refuse: Refuse) -> Iterator[None]:
    """Around the reading of one record: its fault goes to `refuse`."""
    try:
        yield
    except RecordFault as fault:
        refuse(fault)


@dataclass(frozen=True)
class Box:
    """`xyxy`: absolute pixels, continuous coordinates, as in `unidet.records`; a `score` where the
    box was detected, not annotated."""

    name: str
    xyxy: tuple[float, float, float, float]
    is_crowd: bool = False
    score: float | None = None


@dataclass(frozen=True)
class Labelled:
    """One image: its path below the images folder, its size, its boxes, and its part (`PARTS`),
    empty where the format names none."""

    file_name: str
    width: int
    height: int
    boxes: tuple[Box, ...]
    part: str = ""


@dataclass(frozen=True)
class Labels:
    """A dataset: names in the order of their categories, and what the reader did otherwise than
    the files say."""

    names: tuple[str, ...]
    images: tuple[Labelled, ...]
    notes: dict[str, Finding] = field(default_factory=dict)


class Pictures(Protocol):
    """The image files below one folder, by path relative to it."""

    root: Path

    def find(self, written: str) -> str | None:
        """The image of this path or, whatever folder it was in, of this name."""

    def of_name(self, written: str) -> Sequence[str]:
        """Every image of this path's name, whatever folder it is in."""

    def beside(self, labels: Path, below: Path) -> str | None:
        """The image that a file with labels, somewhere below a folder, belongs to: of the same
        name but for the ending."""

    def size(self, name: str) -> tuple[int, int]:
        """Width and height in pixels, upright; UserError where it is no image."""

    def all(self) -> Iterable[str]:
        """Every image, sorted."""


class Notes:
    """Counts remarks, and keeps the first place of each."""

    def __init__(self) -> None:
        self.findings: dict[str, Finding] = {}

    def add(self, remark: str, where: str) -> None:
        known = self.findings.get(remark, Finding(0, where))
        self.findings[remark] = Finding(known.count + 1, known.first)


def picture_of(pictures: Pictures, where: str, written: str) -> str:
    """The image that a record names; RecordFault where there is none."""
    name = pictures.find(written)
    if name is None:
        raise _no_picture(pictures, where, "", written)
    return name


def _no_picture(pictures: Pictures, where: str, what: str, written: object) -> RecordFault:
    """What to say of a record whose image is not known: `what` names it, or the record does."""
    alike = pictures.of_name(written) if isinstance(written, str) else ()
    if len(alike) > 1:
        kind = f"{what} must say which image is meant, by its folder: several have that name"
        return RecordFault(where, kind.strip(), f"{shown(written)}, as of {', '.join(alike[:3])}")
    kind = f"{what} must be an image" if what else "must name an image"
    return RecordFault(where, f"{kind} below {pictures.root}", shown(written))


def picture_of_file(pictures: Pictures, file: Path, below: Path, written: object, what: str) -> str:
    """The image that a file with labels of its own is for: of its name, or else the one that it
    names.

    Raises:
        RecordFault: there is neither, or the two are different images: one was renamed.
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
    """The record with the labels of each image; a second one is a fault."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}

    def add(self, picture: str, where: str) -> None:
        """RecordFault where another record has labels of the image."""
        first = self._of.setdefault(picture, where)
        if first != where:
            raise RecordFault(
                where,
                "must be the only labels of its image, give a place without the others",
                f"{picture}, which {first} labels too",
            )


def label_files(place: Path, pattern: str) -> Iterator[Path]:
    """The files below a folder that a pattern fits, or the one file.

    Hidden ones and those in hidden folders are passed over, as among the images: macOS leaves
    `._a.xml` beside each `a.xml` on drives of other systems, and Jupyter `.ipynb_checkpoints`.
    Capitals are all one, as to the systems that write `A.TXT`.
    """
    if place.is_file():
        yield place
        return
    letters = (f"[{c.lower()}{c.upper()}]" if c.isalpha() else c for c in pattern)
    for file in place.rglob("".join(letters)):
        if not any(part.startswith(".") for part in file.relative_to(place).parts):
            yield file


def text_in(file: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark; RecordFault where it is none."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise RecordFault(str(file), "must be a text file in UTF-8, save it as such") from None
    except OSError as error:
        raise RecordFault(str(file), f"cannot be read ({error.strerror})") from None


def flag(where: str, text: str | None, what: str) -> bool:
    """A flag in any of several spellings; RecordFault for anything else."""
    word = (text or "").strip().lower()
    if word in ("1", "1.0", "true", "yes"):
        return True
    if word in ("", "0", "0.0", "-1", "false", "no"):  # -1: OpenImages' unknown
        return False
    raise RecordFault(where, f"{what} must be 1 or 0, true or false, yes or no", shown(text))


def require_own_files(images: Iterable[Labelled], file_of: Callable[[Labelled], str]) -> None:
    """UserError where two images would share a file, or a name, in a format that is written."""
    seen: dict[str, str] = {}
    for image in images:
        first = seen.setdefault(file_of(image), image.file_name)
        if first != image.file_name:
            raise UserError(
                f"{first} and {image.file_name}: would both be {file_of(image)} in this format, "
                "which has no endings of images in its names; rename one image"
            )


def stem_of(image: Labelled) -> str:
    """Path of an image without its ending."""
    return os.path.splitext(image.file_name)[0]


def number(where: str, text: object, what: str) -> float:
    """A finite number that a file holds as text or number; RecordFault where it is none."""
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
    """`size`, or the image's own where a file leaves it out or says 0."""
    if all(side in (None, "", 0, "0") for side in (width, height)):
        return pictures.size(name)
    return size(where, width, height)


def size(where: str, width: object, height: object) -> tuple[int, int]:
    """Whole sides of at least one pixel; RecordFault otherwise."""
    sides = number(where, width, "width"), number(where, height, "height")
    if any(side < 1 or side % 1 for side in sides):
        raise RecordFault(
            where, "width and height must be whole pixels, at least 1", f"{width}x{height}"
        )
    return int(sides[0]), int(sides[1])


def name_of(where: str, text: object) -> str:
    """The name of a category; RecordFault where it is empty or no text."""
    if not isinstance(text, str) or not plain(text):
        raise RecordFault(where, "the name of a category must be a non-empty text", shown(text))
    return text.strip()


def around(points: Iterable[tuple[float, float]]) -> tuple[float, float, float, float]:
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
    """Image -> its only part, of those that lists or folders name for each part.

    Where train and val name the same images, as datasets that are not divided do, they are no
    parts. Images of theirs that test names too stay theirs.

    Raises:
        UserError: train and val share some of their images.
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
    """UserError where images are named for training and for evaluation."""
    if shared := sorted(train & val):
        raise UserError(
            f"{where}: train and val share {len(shared)} images, first {shared[0]}; evaluation "
            "images are not trained on: correct what names them"
        )


def is_pair(value: object) -> bool:
    """Whether a value of a JSON file may be a point."""
    return isinstance(value, list) and len(value) == 2


def with_plain_names(labels: Labels) -> Labels:
    """Names without control characters, as COCO's files are read; names that become one are one."""
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
