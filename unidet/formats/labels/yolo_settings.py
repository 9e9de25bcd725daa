"""What stands beside YOLO's text files: `data.yaml`, or a list of names; parts and key points."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from unidet.errors import UserError
from unidet.formats.json_text import shown
from unidet.formats.labels.records import (
    KINDS,
    PARTS,
    TEST,
    Notes,
    Pictures,
    RecordFault,
    by_picture,
    text_in,
)
from unidet.formats.names import plain

NAME_FILES = ("classes.txt", "obj.names")
_ABSENT = ("", "null", "~")
"""Ways in which YAML says nothing."""


def settings_file(folder: Path) -> Path | None:
    """The YAML file of a folder that lists names."""
    return next((file for file in _yaml_files(folder) if "names" in _yaml(file)), None)


def _yaml_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("[!.]*.yaml"), *folder.glob("[!.]*.yml")])


def settings_of(place: Path) -> dict[str, Any]:
    """The values of a YAML file, or of that in a folder, every one as the text that is written."""
    file = place if place.is_file() else settings_file(place)
    return _yaml(file) if file is not None and file.suffix in (".yaml", ".yml") else {}


def _yaml(file: Path) -> dict[str, Any]:
    """All values as texts: YAML 1.1 takes `no` for false, `007` for 7 and `12:30` for 750."""
    try:
        content = yaml.load(_text(file), Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{file}: malformed YAML ({line})") from None
    return content if isinstance(content, dict) else {}


def _text(file: Path) -> str:
    try:
        return text_in(file)
    except RecordFault as fault:
        raise UserError(str(fault)) from None


def may_be_labels(file: Path) -> bool:
    """Whether a line begins with the number of a class; RecordFault where it is no text."""
    lines = (line.split() for line in text_in(file).splitlines())
    return any(fields and fields[0].isdecimal() and len(fields) > 4 for fields in lines)


def names_of(settings: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """UserError where there are none, or they are no list of different texts."""
    names = settings.get("names")
    if names is None:
        names = _listed(folder)
    if isinstance(names, dict):
        numbered = [str(row) for row in range(len(names))]
        if {*names} != {*numbered}:
            raise UserError(f"{folder}: 'names' must be numbered 0, 1, …, got {shown([*names])}")
        names = [names[row] for row in numbered]
    texts = [name.strip() if isinstance(name, str) and plain(name) else "" for name in names]
    if isinstance(names, str) or not all(texts) or not texts or len({*texts}) < len(texts):
        raise UserError(f"{folder}: 'names' must be a list of different names, got {shown(names)}")
    if settings.get("nc", str(len(texts))) != str(len(texts)):
        raise UserError(
            f"{folder}: 'nc' is {shown(settings['nc'])}, but there are {len(texts)} names, so "
            "classes may have another's; correct the one that is wrong"
        )
    return tuple(texts)


def _listed(folder: Path) -> list[str]:
    """The lines of a list of names; blank ones may end it, but an inner one counts as a class."""
    file = next((folder / name for name in NAME_FILES if (folder / name).is_file()), None)
    if file is None:
        raise UserError(
            f"{folder}: YOLO labels need the names of their classes: a data.yaml with names: "
            f"[cat, dog], or {' or '.join(NAME_FILES)} with a name a line"
        )
    lines = [line.strip() for line in _text(file).rstrip().splitlines()]
    if "" in lines:
        raise UserError(
            f"{file}: line {lines.index('') + 1} is blank, so the classes after it may have either "
            "of two numbers; give the class a name, or delete the line"
        )
    return lines


def note_other_names(names: Sequence[str], folder: Path, notes: Notes) -> None:
    """Notes every other list of names in the folder that gives a number to another class.

    labelImg writes its `classes.txt` anew in the order in which names were met, Label Studio a
    `notes.json`; boxes that were drawn by one list are of other classes by the other.
    """
    for file in sorted({*_in_lines(folder), *folder.glob("notes.json"), *_yaml_files(folder)}):
        listed = _names_in(file)
        for number, (name, other) in enumerate(zip(names, listed, strict=False)):
            if name.lower() != str(other).lower().strip():
                place = f"{file}: class {number} is {shown(other)} there, {shown(name)} as read"
                notes.add("list that names a class otherwise than it was read", place)
                break


def _in_lines(folder: Path) -> list[Path]:
    """Lists with a name a line: in the folder, and among the labels, where labelImg writes one."""
    places = (folder / below / name for below in ("", "labels") for name in NAME_FILES)
    return [file for file in places if file.is_file()]


def _names_in(file: Path) -> list[str]:
    """The names of a list by number; those of a file that holds none are none."""
    try:
        if file.suffix == ".json":
            entries = json.loads(_text(file))["categories"]
            return [entry["name"] for _, entry in sorted((int(e["id"]), e) for e in entries)]
        if file.name in NAME_FILES:
            return [line.strip() for line in _text(file).splitlines()]
        names = _yaml(file).get("names")
        if isinstance(names, dict):
            return [names[key] for key in sorted(names, key=int)]
        return names if isinstance(names, list) else []
    except (UserError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return []


def key_point_values(settings: dict[str, Any], folder: Path) -> int:
    """How many values of key points follow a box in each line: `kpt_shape`, 0 without."""
    shape = settings.get("kpt_shape")
    if shape is None:
        return 0
    if not (isinstance(shape, list) and len(shape) == 2 and all(map(_is_count, shape))):
        raise UserError(
            f"{folder}: 'kpt_shape' must be [points, 2 or 3 values of each], got {shown(shape)}"
        )
    return int(shape[0]) * int(shape[1])


def _is_count(text: object) -> bool:
    return isinstance(text, str) and text.isdecimal() and int(text) > 0


def parts_of(
    settings: dict[str, Any], folder: Path, pictures: Pictures, notes: Notes
) -> dict[str, str]:
    """Image -> its part, by the folders and lists that `train`, `val` and `test` name.

    Where train and val name the same images, as datasets that are not divided do, they are no
    parts. Images of theirs that test names too stay theirs.

    Raises:
        UserError: one of train and val leads to images, the other to none: its images would
            count for no part or a wrong one; or they share some.
    """
    by_part: dict[str, set[str]] = {}
    empty: list[tuple[str, str]] = []
    for key, part in PARTS.items():
        for text in _places(settings, key, folder):
            names = _pictures_of(text, settings, folder, pictures)
            if not names and (moved := _folder_like(text, pictures)):
                notes.add(f"'{key}: {text}' is read as {moved}", str(folder))
                names = _below(moved, pictures)
            by_part.setdefault(part, set()).update(names)
            if not names:
                empty.append((key, text))
    parts = by_picture(by_part, folder, notes)
    for key, text in empty:
        if parts and PARTS[key] != TEST:
            raise UserError(
                f"{folder}: '{key}: {text}' leads to no image below {pictures.root}, though "
                "another part does; correct the path in data.yaml, or take the line out"
            )
        notes.add(f"'{key}: {text}' leads to no image: passed over", str(folder))
    return parts


def _places(settings: dict[str, Any], key: str, folder: Path) -> list[str]:
    written = settings.get(key, "")
    places = [written] if isinstance(written, str) else written
    if not isinstance(places, list) or not all(isinstance(text, str) for text in places):
        raise UserError(f"{folder}: '{key}' must be a path or a list of paths, got {written!r:.60}")
    if any("\0" in text for text in places):
        raise UserError(f"{folder}: '{key}' must be a path, got {shown(written)}")
    return [text for text in places if text.strip() not in _ABSENT]


def _pictures_of(
    text: str, settings: dict[str, Any], folder: Path, pictures: Pictures
) -> list[str]:
    written = settings.get("path", "")
    base = written if isinstance(written, str) and "\0" not in written else ""
    bare = text.removeprefix("../").removeprefix("./")
    below = {folder / base / text, folder / text, folder / bare}
    places = sorted(map(os.path.realpath, below))
    return [name for place in places for name in _pictures_at(Path(place), pictures)]


def _pictures_at(place: Path, pictures: Pictures) -> Iterator[str]:
    if place.suffix == ".txt" and place.is_file():
        lines = _text(place).splitlines()
        yield from filter(None, (pictures.find(line.strip()) for line in lines if line.strip()))
    elif place.is_dir():
        root = Path(os.path.realpath(pictures.root))
        yield from (name for name in pictures.all() if (root / name).is_relative_to(place))


def _folder_like(written: str, pictures: Pictures) -> str:
    """The folder of images whose path ends most like the written one, whatever its capitals, as
    in a data set that was moved; empty where none or several do.

    `images` alone, which any part may lie in, says nothing.
    """
    said = _ends(written)
    agreeing: dict[int, list[str]] = {}
    for folder in {above for name in pictures.all() for above in PurePosixPath(name).parents}:
        pairs = zip(_ends(str(folder)), said, strict=False)
        shared = [own for own, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]
        if {*shared} - KINDS:
            agreeing.setdefault(len(shared), []).append(str(folder))
    nearest = agreeing[max(agreeing)] if agreeing else []
    return nearest[0] if len(nearest) == 1 else ""


def _ends(path: str) -> list[str]:
    """The parts of a path in small letters, from the last one on."""
    return [part.lower() for part in reversed(PurePosixPath(path.replace("\\", "/")).parts)]


def _below(folder: str, pictures: Pictures) -> list[str]:
    return [name for name in pictures.all() if PurePosixPath(name).is_relative_to(folder)]
