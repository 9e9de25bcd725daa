"""YOLO: `data.yaml`, and a text file for each image with a line for each box or outline.

A line is `class x y width height`, centre and sides as fractions of the image, or `class x1 y1 x2
y2 x3 y3 …`, an outline, whose box is around it; with `kpt_shape`, key points follow a box and are
passed over. An image without a text file has no objects.
Names may also stand in `classes.txt` (labelImg, Label Studio) or `obj.names` (Darknet, CVAT).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from unidet.errors import UserError
from unidet.formats.labels.records import (
    Box,
    Labelled,
    Labels,
    Notes,
    Owners,
    Pictures,
    Quad,
    RecordFault,
    Refuse,
    around,
    by_part,
    label_files,
    leaving_out,
    number,
    require_own_files,
    stem_of,
    strictly,
    text_in,
)
from unidet.formats.labels.yolo_names import names_of, note_other_names
from unidet.formats.labels.yolo_settings import (
    key_point_values,
    may_be_labels,
    named_folder,
    parts_of,
    settings_of,
)

_NOT_LABELS = {"classes", "train", "val", "valid", "test", "requirements", "readme"}
"""Text files beside labels that hold none."""
_SLACK = 0.01
"""So far beyond the image, in shares of it, rounding may put a coordinate."""
_FEW_ALONE = 10
"""So many files with an image there must be for one without."""
_FEW = 4
"""So many boxes may look like corners by accident."""


@dataclass(frozen=True)
class _Layout:
    """What a line is made of: the classes' names, and how many values of key points."""

    names: tuple[str, ...]
    key_points: int


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """A `data.yaml`, or the folder of one, with the text files below its folder; or below the one
    that its `path` names, or beside the images, where there is none.

    Raises:
        UserError: the names are none, no text file has labels, a part leads nowhere, or the boxes
            are corners.
    """
    folder = place.parent if place.is_file() else place
    settings = settings_of(place)
    layout = _Layout(names_of(settings, folder), key_point_values(settings, folder))
    notes = Notes()
    files = _files(_home(folder, settings, pictures), pictures, refuse, notes)
    note_other_names(layout.names, folder, notes)
    parts = parts_of(settings, folder, pictures, notes)
    images: list[Labelled] = []
    quads: list[Quad] = []
    for name in pictures.all():
        with leaving_out(refuse):
            sides = pictures.size(name)
            boxes = _boxes(files.get(name), layout, sides, quads, notes)
            images.append(Labelled(name, *sides, tuple(boxes), parts.get(name, "")))
    _check_corners(folder, quads)
    return Labels(layout.names, tuple(images), notes.findings)


def _home(folder: Path, settings: dict[str, Any], pictures: Pictures) -> Path:
    """The folder below which the text files of labels lie."""
    root = Path(os.path.realpath(pictures.root))
    homes = [folder, *filter(None, (named_folder(settings, folder), _beside(root)))]
    for home in homes:
        for file in label_files(home, "*.txt") if home.is_dir() else ():
            if pictures.beside(file, home) or may_be_labels(file):
                return home
    raise UserError(
        f"{folder}: no text file below it holds labels; give the folder that has them as well as "
        "data.yaml, or name it there as path"
    )


def _beside(root: Path) -> Path | None:
    """`labels` beside the last folder called `images`, in which YOLO looks for labels."""
    parts = list(root.parts)
    if "images" not in parts:
        return None
    row = len(parts) - 1 - parts[::-1].index("images")
    return Path(*parts[:row], "labels", *parts[row + 1 :])


def _files(folder: Path, pictures: Pictures, refuse: Refuse, notes: Notes) -> dict[str, Path]:
    """Image -> its file with labels.

    Few files without an image are passed over, as by YOLO; RecordFault of each, if they are many,
    since the images then lie elsewhere or have other names.
    """
    owners = Owners()
    files: dict[str, Path] = {}
    alone: list[Path] = []
    for file in sorted(label_files(folder, "*.txt")):
        with leaving_out(refuse):
            if file.stem.lower() in _NOT_LABELS and _is_list(file, pictures):
                continue
            name = pictures.beside(file, folder)
            if name is not None:
                owners.add(name, str(file))
                files[name] = file
            elif file.stem.lower() in _NOT_LABELS:
                continue
            elif rivals := pictures.rivals(file, folder):
                kind = "must be of one image, but several have its name: rename all others"
                raise RecordFault(str(file), kind, ", ".join(rivals[:3]))
            elif may_be_labels(file):
                alone.append(file)
            else:
                notes.add("text file without lines of labels: passed over", str(file))
    for file in alone:
        if len(alone) * _FEW_ALONE <= len(files):
            notes.add("text file whose name no image has: passed over, as by YOLO", str(file))
        else:
            refuse(RecordFault(str(file), f"must have one image of its name below {pictures.root}"))
    return files


def _is_list(file: Path, pictures: Pictures) -> bool:
    """Whether a text file lists images, whatever image is called as it is."""
    return any(pictures.find(line) for line in text_in(file).splitlines() if line.strip())


def _check_corners(folder: Path, quads: Sequence[Quad]) -> None:
    """UserError where boxes are plainly x1 y1 x2 y2: as such all are sound, as centre and sides
    a quarter of them reach over the image."""
    if len(quads) < _FEW or any(x2 < x1 or y2 < y1 for x1, y1, x2, y2 in quads):
        return
    beyond = sum(
        min(x - width / 2, y - height / 2) < -_SLACK
        or max(x + width / 2, y + height / 2) > 1 + _SLACK
        for x, y, width, height in quads
    )
    if 4 * beyond >= len(quads):
        raise UserError(
            f"{folder}: {beyond} of the {len(quads)} boxes reach over their image as x y width "
            "height, none as x1 y1 x2 y2: a line has the centre and the sides of a box"
        )


def _boxes(
    file: Path | None,
    layout: _Layout,
    sides: tuple[int, int],
    quads: list[Quad],
    notes: Notes,
) -> list[Box]:
    """The boxes of one image; those that are given by centre and sides go to `quads` too."""
    boxes: list[Box] = []
    met: set[tuple[float | str, ...]] = set()
    for row, line in enumerate(text_in(file).splitlines() if file else (), start=1):
        if line.strip():
            where = f"{file}: line {row}"
            name, values = _values(where, line.split(), layout)
            if (name, *values) in met:
                notes.add("line that came before: left out, as by YOLO", where)
                continue
            met.add((name, *values))
            if len(values) == 4:
                quads.append((values[0], values[1], values[2], values[3]))
            left, top, right, bottom = _corners(values)
            width, height = sides
            boxes.append(Box(name, (left * width, top * height, right * width, bottom * height)))
    return boxes


def _values(where: str, fields: list[str], layout: _Layout) -> tuple[str, list[float]]:
    """The name of a line's class, and the numbers of its box or outline."""
    row = number(where, fields[0], "the class")
    if row % 1 or not 0 <= row < len(layout.names):
        raise RecordFault(where, f"the class must be 0 to {len(layout.names) - 1}", fields[0])
    written = fields[1:]
    if layout.key_points:
        if len(written) != 4 + layout.key_points:
            kind = f"kpt_shape wants class x y width height and {layout.key_points} values"
            raise RecordFault(where, kind, f"{len(written)} after the class")
        written = written[:4]
    values = [number(where, text, "a coordinate") for text in written]
    if len(values) == 5:
        kind = "a fifth value follows the box, as a prediction's score does; leave it out"
        raise RecordFault(where, kind, " ".join(written))
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise RecordFault(
            where, "must be class x y width height, or class and the corners of an outline", ""
        )
    if len(values) == 6 and written[5].isdecimal():
        raise RecordFault(
            where,
            "a whole number ends six values, as a track's id does; leave out confidence and id",
            " ".join(written),
        )
    wrong = [text for text, v in zip(written, values, strict=True) if not _is_fraction(v)]
    if wrong:
        raise RecordFault(
            where, "coordinates must be fractions of the image, 0 to 1", " ".join(wrong[:4])
        )
    if len(values) == 4 and min(values[2:]) < 0:
        raise RecordFault(where, "width and height must not be negative", " ".join(written))
    return layout.names[int(row)], values


def _is_fraction(value: float) -> bool:
    return -_SLACK <= value <= 1 + _SLACK


def _corners(values: list[float]) -> Quad:
    if len(values) > 4:
        return around(zip(values[::2], values[1::2], strict=True))
    x, y, width, height = values
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def write(labels: Labels, out: Path, images: Path) -> None:
    """`labels/*.txt`, `data.yaml`, a list for each part, and `images`, a link, beside which YOLO
    looks for labels."""
    require_own_files(labels.images, stem_of)
    numbers = {name: row for row, name in enumerate(labels.names)}
    (out / "images").symlink_to(os.path.realpath(images), target_is_directory=True)
    for image in labels.images:
        file = out / "labels" / PurePosixPath(image.file_name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text_of(image, numbers), "utf-8")
    content: dict[str, Any] = {"path": str(out.absolute()), "train": "images", "val": "images"}
    for part, own in by_part(labels).items():
        if part:
            lines = [f"./images/{image.file_name}\n" for image in own.images]
            (out / f"{part}.txt").write_text("".join(lines), encoding="utf-8")
            content[part] = f"{part}.txt"
    content["names"] = dict(enumerate(labels.names))
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    (out / "data.yaml").write_text(text, encoding="utf-8")


def text_of(image: Labelled, numbers: Mapping[str, int]) -> str:
    """A line a box: number of its name, centre and sides as shares of the image, any score."""
    boxes = (box for box in image.boxes if not box.is_crowd)
    return "".join(f"{_line(box, numbers, image)}\n" for box in boxes)


def _line(box: Box, numbers: Mapping[str, int], image: Labelled) -> str:
    left, top, right, bottom = box.xyxy
    centre = (left + right) / 2 / image.width, (top + bottom) / 2 / image.height
    sides = (right - left) / image.width, (bottom - top) / image.height
    values = (*centre, *sides, *(() if box.score is None else (box.score,)))
    return " ".join([str(numbers[box.name]), *(f"{value:.8g}" for value in values)])
