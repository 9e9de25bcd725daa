"""OpenImages: CSV tables of boxes and of label names.

`*-annotations-bbox.csv` have ImageID, LabelName, XMin, XMax, YMin, YMax (fractions) and IsGroupOf,
which is a crowd here; `*class-descriptions*.csv` beside them, or `*classes-description*.csv` of the
challenges, say what `/m/01g317` is called.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from unidet.errors import UserError
from unidet.formats.json_text import shown
from unidet.formats.labels.records import (
    Box,
    Labelled,
    Labels,
    Notes,
    Pictures,
    RecordFault,
    Refuse,
    by_part,
    flag,
    label_files,
    name_of,
    names_met,
    number,
    part_named,
    picture_of,
    require_own_files,
    stem_of,
    strictly,
    text_in,
)
from unidet.formats.labels.whole_files import head_of

COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_HEAD = 1 << 16
"""Bytes of a table in which the names of its columns are."""
_DESCRIPTIONS = "class-descriptions"
_DESCRIBING = "*class*-description*.csv"
_UNNAMED = "label without a name in class-descriptions: called by its code"


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """Read a table of boxes, or all tables of a folder.

    Raises:
        UserError: the folder has no table.
    """
    tables = sorted(t for t in label_files(place, "*.csv") if t == place or _may_hold_boxes(t))
    if not tables:
        raise UserError(
            f"{place}: holds no table of boxes; one has the columns {', '.join(COLUMNS)}, with "
            "commas between"
        )
    descriptions = _descriptions(place if place.is_dir() else place.parent)
    notes = Notes()
    boxes: dict[str, list[Box]] = {}
    parts: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for table in tables:
        part = part_named(table.stem)
        for line, row in _rows(table):
            where = f"{table}: line {line}"
            try:
                name = picture_of(pictures, where, row["ImageID"])
                if name not in sizes:
                    sizes[name] = pictures.size(name)
                box = _box(where, row, descriptions, sizes[name])
                _require_part(where, name, part, parts.setdefault(name, part))
            except RecordFault as fault:
                refuse(fault)
                continue
            if row["LabelName"] not in descriptions:
                notes.add(_UNNAMED, where)
            boxes.setdefault(name, []).append(box)
    images = [Labelled(name, *sizes[name], tuple(own), parts[name]) for name, own in boxes.items()]
    return Labels(names_met(images), tuple(images), notes.findings)


def _require_part(where: str, name: str, part: str, first: str) -> None:
    if part != first:
        both = f"{name} in {first or 'no part'} and in {part or 'no part'}"
        raise RecordFault(where, "an image must be of one part alone", both)


def _may_hold_boxes(file: Path) -> bool:
    return is_table(file) or "bbox" in file.name


def is_table(file: Path) -> bool:
    """Whether a CSV file has boxes; UserError if it has, but with another separator than commas."""
    lines = head_of(file, _HEAD).decode("utf-8-sig", "replace").splitlines()
    head = next(iter(lines), "")
    for mark, what in _SEPARATORS.items():
        if {*COLUMNS} <= {*next(csv.reader([head], delimiter=mark), ())}:
            if mark != ",":
                raise UserError(
                    f"{file}: has {what} between its columns; a table of OpenImages has commas: "
                    "save it so, with points in its numbers"
                )
            return True
    return False


def _rows(table: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of each row."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"{table}: has no column {missing[0]}; it takes {', '.join(COLUMNS)}, with "
                    "commas between"
                )
            for row in reader:
                yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{table}: not a CSV text file ({error})") from None


def _descriptions(folder: Path) -> dict[str, list[str]]:
    """Label code -> its names (one if all files agree); newer files start with a header line."""
    names: dict[str, list[str]] = {}
    for file in sorted(label_files(folder, _DESCRIBING)):
        for code, name in (row[:2] for row in _table(file) if len(row) > 1):
            if name not in names.setdefault(code, []):
                names[code].append(name)
    return names


def _table(file: Path) -> list[list[str]]:
    try:
        return [*csv.reader(io.StringIO(text_in(file), newline=""))]
    except RecordFault as fault:
        raise UserError(str(fault)) from None
    except csv.Error as error:
        raise UserError(f"{file}: not a CSV text file ({error})") from None


def _box(
    where: str, row: dict[str, str], descriptions: dict[str, list[str]], sides: tuple[int, int]
) -> Box:
    code = name_of(where, row["LabelName"])
    left, right, top, bottom = (number(where, row[key], key) for key in COLUMNS[2:])
    if not (-0.01 <= left <= right <= 1.01 and -0.01 <= top <= bottom <= 1.01):
        raise RecordFault(
            where,
            "XMin, XMax and YMin, YMax must be ascending fractions of the image, 0 to 1",
            f"{left:g} {right:g} {top:g} {bottom:g}",
        )
    width, height = sides
    xyxy = (left * width, top * height, right * width, bottom * height)
    names = descriptions.get(code, [code])
    if len(names) > 1:
        raise RecordFault(
            where, f"{code} must have one name in all files of {_DESCRIPTIONS}", shown(names)
        )
    return Box(names[0], xyxy, flag(where, row.get("IsGroupOf"), "IsGroupOf"))


def write(labels: Labels, out: Path, images: Path) -> None:
    """Write `annotations-bbox.csv` per part, and `class-descriptions.csv` with names as codes."""
    require_own_files(labels.images, stem_of)
    with (out / f"{_DESCRIPTIONS}.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([name, name] for name in labels.names)
    for part, own in by_part(labels).items():
        _write_table(own, out / f"{part}-annotations-bbox.csv".lstrip("-"))


def _write_table(labels: Labels, table: Path) -> None:
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*COLUMNS, "IsGroupOf"])
        for image in labels.images:
            for box in image.boxes:
                left, top, right, bottom = box.xyxy
                across = (left / image.width, right / image.width)
                down = (top / image.height, bottom / image.height)
                fractions = [f"{value:.10g}" for value in (*across, *down)]
                writer.writerow([stem_of(image), box.name, *fractions, int(box.is_crowd)])
