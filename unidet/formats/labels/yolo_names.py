"""The names of YOLO's classes: `data.yaml`, or a list of them in one of several files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unidet.errors import UserError
from unidet.formats.json_text import shown
from unidet.formats.labels.records import Notes, label_files
from unidet.formats.labels.yolo_settings import settings_file, text_of, yaml_files, yaml_of
from unidet.formats.names import plain

_LISTS = ("classes.txt", "obj.names", "*.names", "_darknet.labels")
"""Files with a name a line: of labelImg and Label Studio; of Darknet; of Roboflow."""


def name_lists(folder: Path) -> list[Path]:
    """The lists of names in a folder, or else those below it; the first is to be read."""
    files = [file for name in _LISTS for file in sorted(folder.glob(name)) if file.is_file()]
    if not files:
        files = [file for name in _LISTS for file in sorted(label_files(folder, name))]
    return [*dict.fromkeys(file for file in files if not file.name.startswith("."))]


def names_of(settings: dict[str, Any], folder: Path) -> tuple[str, ...]:
    """UserError where there are none, or they are no list of different texts."""
    names = settings.get("names")
    if names is None:
        names = _listed(folder)
    if names == "":
        raise UserError(
            f"{folder}: 'names' is empty in its YAML file; indent the lines that belong to it, or "
            "write names: [cat, dog]"
        )
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
    lists = name_lists(folder)
    if not lists:
        _tell_of_settings(folder)
        raise UserError(
            f"{folder}: YOLO labels need the names of their classes: a data.yaml with names: "
            "[cat, dog], or classes.txt or obj.names with a name a line"
        )
    file, *others = lists
    lines = _lines(file)
    if "" in lines:
        raise UserError(
            f"{file}: line {lines.index('') + 1} is blank, so the classes after it may have either "
            "of two numbers; give the class a name, or delete the line"
        )
    for other in others if file.parent != folder else ():
        if _lines(other) != lines:
            raise UserError(
                f"{folder}: {file.relative_to(folder)} and {other.relative_to(folder)} list "
                "different names of classes; give the folder of one of them"
            )
    return lines


def _tell_of_settings(folder: Path) -> None:
    """UserError where the YAML file that lists names lies further below."""
    for pattern in ("data.yaml", "data.yml"):
        for file in sorted(label_files(folder, pattern)):
            if settings_file(file.parent) is not None:
                raise UserError(
                    f"{folder}: the names of its classes are in {file}; give {file.parent}"
                )


def _lines(file: Path) -> list[str]:
    return [line.strip() for line in text_of(file).rstrip().splitlines()]


def note_other_names(names: Sequence[str], folder: Path, notes: Notes) -> None:
    """Notes every other list of names in the folder that gives a number to another class.

    labelImg writes its `classes.txt` anew in the order in which names were met, Label Studio a
    `notes.json`; boxes that were drawn by one list are of other classes by the other.
    """
    lists = {*name_lists(folder), *name_lists(folder / "labels")}
    for file in sorted({*lists, *folder.glob("notes.json"), *yaml_files(folder)}):
        listed = _names_in(file)
        for number, (name, other) in enumerate(zip(names, listed, strict=False)):
            if name.lower() != str(other).lower().strip():
                place = f"{file}: class {number} is {shown(other)} there, {shown(name)} as read"
                notes.add("list that names a class otherwise than it was read", place)
                break


def _names_in(file: Path) -> list[str]:
    """The names of a list by number; those of a file that holds none are none."""
    try:
        if file.suffix == ".json":
            entries = json.loads(text_of(file))["categories"]
            return [entry["name"] for _, entry in sorted((int(e["id"]), e) for e in entries)]
        if file.suffix not in (".yaml", ".yml"):
            return _lines(file)
        names = yaml_of(file).get("names")
        if isinstance(names, dict):
            return [names[key] for key in sorted(names, key=int)]
        return names if isinstance(names, list) else []
    except (UserError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return []
