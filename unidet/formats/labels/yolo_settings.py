"""What `data.yaml` says beside YOLO's text files: parts and key points; names: `yolo_names`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from unidet.errors import UserError
from unidet.formats.json_text import shown
from unidet.formats.labels.bounded_yaml import Texts
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

_USUAL = ("data", "dataset")
"""Stems of the file that belongs to a data set, which one of its training may lie beside."""
_ABSENT = ("", "null", "~")
"""Ways in which YAML says nothing."""


def settings_file(folder: Path) -> Path | None:
    """The YAML file of a folder that lists names, `data.yaml` before others."""
    return next((file for file in yaml_files(folder) if "names" in yaml_of(file)), None)


def yaml_files(folder: Path) -> list[Path]:
    files = [*folder.glob("[!.]*.yaml"), *folder.glob("[!.]*.yml")]
    return sorted(files, key=lambda file: (file.stem.lower() not in _USUAL, file))


def settings_of(place: Path) -> dict[str, Any]:
    """The values of a YAML file, or of that in a folder, every one as the text that is written; the
    parts of Darknet's `obj.data` where there is no such file.

    Raises:
        UserError: the file is malformed, or several of a folder list names, none as `data.yaml`.
    """
    file = place if place.is_file() else settings_file(place)
    if file is None or file.suffix not in (".yaml", ".yml"):
        return {} if place.is_file() else _of_darknet(place)
    if not place.is_file() and file.stem.lower() not in _USUAL:
        _require_no_other(file)
    return yaml_of(file)


def _of_darknet(folder: Path) -> dict[str, Any]:
    """The lists of parts that `obj.data` names, a `key = value` a line; they lie beside it."""
    file = next(iter(sorted(folder.glob("[!.]*.data"))), None)
    lines = text_of(file).splitlines() if file else ()
    pairs = ((text.strip() for text in line.partition("=")[::2]) for line in lines)
    lists = {key: PurePosixPath(value.replace("\\", "/")).name for key, value in pairs}
    return {key: name for key, name in lists.items() if key in PARTS and name}


def _require_no_other(file: Path) -> None:
    names = yaml_of(file)["names"]
    for other in yaml_files(file.parent):
        if yaml_of(other).get("names", names) != names:
            raise UserError(
                f"{file.parent}: {file.name} and {other.name} list different names of classes; "
                "give the one that belongs to the labels"
            )


def yaml_of(file: Path) -> dict[str, Any]:
    """All values as texts: YAML 1.1 takes `no` for false, `007` for 7 and `12:30` for 750."""
    try:
        content = yaml.load(text_of(file), Loader=Texts)
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark or error.context_mark
        at = f" at line {place.line + 1}, column {place.column + 1}" if place else ""
        raise UserError(f"{file}: malformed YAML{at}: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        line = str(error).splitlines()[0]
        raise UserError(f"{file}: malformed YAML ({line})") from None
    return content if isinstance(content, dict) else {}


def text_of(file: Path) -> str:
    """Content of a text file; UserError where it is none."""
    try:
        return text_in(file)
    except RecordFault as fault:
        raise UserError(str(fault)) from None


def may_be_labels(file: Path) -> bool:
    """Whether a line begins with the number of a class; RecordFault where it is no text."""
    lines = (line.split() for line in text_in(file).splitlines())
    return any(fields and fields[0].isdecimal() and len(fields) > 4 for fields in lines)


def named_folder(settings: dict[str, Any], folder: Path) -> Path | None:
    """The folder that `path` names, from that of the settings on."""
    written = settings.get("path")
    if not isinstance(written, str) or not written.strip() or "\0" in written:
        return None
    return folder / os.path.expanduser(written.strip())


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
            names = _pictures_of(text, settings, folder, pictures, notes)
            if not names and (listed := _list_like(text, folder)):
                notes.add(f"'{key}: {text}' is read as {listed.relative_to(folder)}", str(folder))
                names = [*_pictures_at(listed, pictures, notes)]
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
    return [text.strip() for text in places if text.strip() not in _ABSENT]


def _pictures_of(
    text: str, settings: dict[str, Any], folder: Path, pictures: Pictures, notes: Notes
) -> list[str]:
    written = settings.get("path", "")
    base = written if isinstance(written, str) and "\0" not in written else ""
    bare = text.removeprefix("../").removeprefix("./")
    below = {folder / base / text, folder / text, folder / bare}
    places = sorted(map(os.path.realpath, below))
    return [name for place in places for name in _pictures_at(Path(place), pictures, notes)]


def _pictures_at(place: Path, pictures: Pictures, notes: Notes) -> Iterator[str]:
    if place.suffix == ".txt" and place.is_file():
        for row, line in enumerate(text_of(place).splitlines(), start=1):
            if name := pictures.find(line):
                yield name
            elif line.strip():
                where = f"{place}: line {row}"
                notes.add("line of a list that leads to no image: passed over", where)
    elif place.is_dir():
        root = Path(os.path.realpath(pictures.root))
        yield from (name for name in pictures.all() if (root / name).is_relative_to(place))


def _list_like(written: str, folder: Path) -> Path | None:
    """The list below the data set's folder that a path of another machine ends like, the longest
    such end first."""
    path = PurePosixPath(written.replace("\\", "/"))
    if path.suffix != ".txt":
        return None
    ends = (folder.joinpath(*path.parts[row:]) for row in range(1, len(path.parts)))
    return next((place for place in ends if place.is_file()), None)


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
