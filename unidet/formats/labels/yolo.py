"""YOLO: `data.yaml`, and a text file for each picture with a line for each box or outline.

A line is `class x y width height`, centre and sides as fractions of the picture, or `class x1 y1 x2
y2 x3 y3 …`, an outline, whose box is around it. A picture without a text file has no objects.
Names may also stand in `classes.txt` (Label Studio) or `obj.names` (Darknet, CVAT).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from unidet.errors import UserError
from unidet.formats.json_text import shown
from unidet.formats.labels.records import (
    PARTS,
    Box,
    Labelled,
    Labels,
    Pictures,
    RecordFault,
    Refuse,
    around,
    by_part,
    leaving_out,
    number,
    strictly,
)

NAME_FILES = ("classes.txt", "obj.names")
_NOT_LABELS = {"classes", "train", "val", "valid", "test", "requirements", "readme"}
"""Text files beside labels that hold none."""


def read(place: Path, pictures: Pictures, refuse: Refuse = strictly) -> Labels:
    """A `data.yaml`, or the folder of one, with the text files below its folder."""
    folder = place.parent if place.is_file() else place
    settings = _settings(place)
    names = _names(settings, folder)
    lines_of = {}
    for file in sorted(folder.rglob("*.txt")):
        name = pictures.beside(file)
        if name is not None:
            lines_of[name] = file
        elif file.stem.lower() not in _NOT_LABELS:
            where = f"{file}"
            refuse(RecordFault(where, f"must have a picture of its name below {pictures.root}"))
    parts = dict(_parts(settings, folder, pictures))
    images = []
    for name in pictures.all():
        with leaving_out(refuse):
            images.append(_image(name, lines_of.get(name), pictures, names, parts.get(name, "")))
    return Labels(names, tuple(images))


def settings_file(folder: Path) -> Path | None:
    """The YAML file of a folder that lists names."""
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    return next((file for file in files if "names" in _yaml(file)), None)


def _settings(place: Path) -> dict[str, Any]:
    file = place if place.is_file() else settings_file(place)
    return _yaml(file) if file is not None and file.suffix in (".yaml", ".yml") else {}


def _yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{file}: malformed YAML ({line})") from None
    return content if isinstance(content, dict) else {}


def _names(settings: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """UserError where there are none, or they are no list of different texts."""
    names = settings.get("names")
    if names is None:
        files = (folder / name for name in NAME_FILES)
        listed = next((file for file in files if file.is_file()), None)
        if listed is None:
            raise UserError(
                f"{folder}: YOLO labels need the names of their classes: a data.yaml with names: "
                f"[cat, dog], or {' or '.join(NAME_FILES)} with a name a line"
            )
        names = listed.read_text(encoding="utf-8").splitlines()
        names = [name.strip() for name in names if name.strip()]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise UserError(f"{folder}: 'names' must be numbered 0, 1, …, got {shown([*names])}")
        names = [names[row] for row in range(len(names))]
    texts = [str(name).strip() for name in names] if isinstance(names, list) else []
    if not all(texts) or not texts or len({*texts}) < len(texts):
        raise UserError(f"{folder}: 'names' must be a list of different names, got {shown(names)}")
    return tuple(texts)


def _parts(settings: dict[str, Any], folder: Path, pictures: Pictures) -> Iterator[tuple[str, str]]:
    """Picture -> its part, by the folders and lists that `train`, `val` and `test` name."""
    base = Path(settings.get("path") or "")
    for key, part in PARTS.items():
        places = settings.get(key) or []
        for text in [places] if isinstance(places, str) else places:
            bare = str(text).removeprefix("../").removeprefix("./")
            below = {folder / base / str(text), folder / str(text), folder / bare}
            for place in sorted(map(os.path.realpath, below)):
                yield from ((name, part) for name in _pictures_at(Path(place), pictures))


def _pictures_at(place: Path, pictures: Pictures) -> Iterator[str]:
    if place.suffix == ".txt" and place.is_file():
        lines = place.read_text(encoding="utf-8").splitlines()
        yield from filter(None, (pictures.find(line.strip()) for line in lines if line.strip()))
    elif place.is_dir():
        root = Path(os.path.realpath(pictures.root))
        yield from (name for name in pictures.all() if (root / name).is_relative_to(place))


def _image(
    name: str, file: Path | None, pictures: Pictures, names: tuple[str, ...], part: str
) -> Labelled:
    width, height = pictures.size(name)
    boxes = []
    if file is not None:
        for row, line in enumerate(_text(file).splitlines(), start=1):
            if line.strip():
                where = f"{file}: line {row}"
                boxes.append(_box(where, line.split(), names, (width, height)))
    return Labelled(name, width, height, tuple(boxes), part)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise RecordFault(str(file), "must be a text file in UTF-8") from None


def _box(where: str, fields: list[str], names: tuple[str, ...], sides: tuple[int, int]) -> Box:
    row = number(where, fields[0], "the class")
    if row % 1 or not 0 <= row < len(names):
        raise RecordFault(where, f"the class must be 0 to {len(names) - 1}", fields[0])
    values = [number(where, text, "a coordinate") for text in fields[1:]]
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise RecordFault(
            where, "must be class x y width height, or class and the corners of an outline", ""
        )
    if any(not -0.01 <= value <= 1.01 for value in values):
        raise RecordFault(
            where, "coordinates must be fractions of the picture, 0 to 1", " ".join(fields[1:5])
        )
    if len(values) == 4:
        x, y, width, height = values
        corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    else:
        corners = around(zip(values[::2], values[1::2], strict=True))
    left, top, right, bottom = corners
    pixels = (left * sides[0], top * sides[1], right * sides[0], bottom * sides[1])
    return Box(names[int(row)], pixels)


def write(labels: Labels, out: Path, images: Path) -> None:
    """`labels/*.txt`, `data.yaml`, a list for each part, and `images`, a link, beside which YOLO
    looks for labels."""
    numbers = {name: row for row, name in enumerate(labels.names)}
    (out / "images").symlink_to(os.path.realpath(images), target_is_directory=True)
    for image in labels.images:
        file = out / "labels" / PurePosixPath(image.file_name).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text_of(image, numbers))
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
    """A line a box: number of its name, centre and sides as shares of the picture, any score."""
    boxes = (box for box in image.boxes if not box.is_crowd)
    return "".join(f"{_line(box, numbers, image)}\n" for box in boxes)


def _line(box: Box, numbers: Mapping[str, int], image: Labelled) -> str:
    left, top, right, bottom = box.xyxy
    centre = (left + right) / 2 / image.width, (top + bottom) / 2 / image.height
    sides = (right - left) / image.width, (bottom - top) / image.height
    values = (*centre, *sides, *(() if box.score is None else (box.score,)))
    return " ".join([str(numbers[box.name]), *(f"{value:.8g}" for value in values)])
