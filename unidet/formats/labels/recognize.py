"""Recognition of the format of a file or folder of labels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path

from unidet.errors import HEAD, UserError, other_kind
from unidet.formats.labels import openimages, yolo_names, yolo_settings
from unidet.formats.labels.records import RecordFault, label_files
from unidet.formats.labels.whole_files import head_of

FORMATS = {
    "coco": "JSON of COCO, LVIS or Objects365",
    "yolo": "text files and data.yaml",
    "voc": "Pascal VOC's XML files",
    "openimages": "CSV tables of boxes",
    "labelme": "LabelMe's JSON files",
    "cvat": "XML of 'CVAT for images 1.1'",
    "labelstudio": "JSON or JSON-MIN of Label Studio",
}
UNFINISHED = ".unidet-unfinished"
"""Marker file in a folder of labels that is being written."""
_SUFFIXES = ("json", "xml", "csv")
_HEAD = 1 << 20
"""Bytes at the start of a file that are examined; LabelMe's image data come after them."""
_OF_TASKS = {b"data", b"result", b"completions", b"rectanglelabels", b"annotation_id"}
"""Keys of Label Studio's exports, which lists of other tools (CreateML) have not."""
_OTHER_TASKS = ("captions_", "person_keypoints_", "panoptic_", "stuff_", "image_info_")
"""What COCO's files begin with that lie beside `instances_…` and are about the same images."""
_LOOKED_AT = 50
"""Most files of a folder that are examined: the first by name, for a copy may be listed in another
order."""


@dataclass(frozen=True)
class Source:
    """The format of a dataset's labels, and the file, files or folder for its reader."""

    format: str
    places: tuple[Path, ...]


def recognize(place: Path, as_format: str = "") -> Source:
    """The labels at a path, in the given format or the recognized one.

    Raises:
        UserError: the path does not exist, has no known format, or is an unfinished folder.
    """
    if not place.exists():
        raise UserError(f"{place}: no such file or folder; --annotations names the labels")
    for folder in (place, *place.absolute().parents):
        if is_unfinished(folder):
            raise UserError(
                f"{folder}: is not finished: the command that writes it still runs or was killed; "
                "run it again"
            )
    formats = _formats_of(place)
    if as_format and formats and as_format not in formats:
        raise UserError(f"{place}: looks like {' and '.join(formats)}, not {as_format}")
    if not formats and as_format in ("", "yolo"):
        _require_no_settings_above(place)
    chosen = as_format or next(iter(formats), "")
    if not chosen:
        for file in [place] if place.is_file() else _first_files(place):
            if reason := _other_kind(file):
                raise UserError(f"{file}: {reason}")
        if place.is_dir() and _has_lines_of_labels(place):
            yolo_names.names_of({}, place)  # raises the error about missing names
        known = "; ".join(f"{name} ({what})" for name, what in FORMATS.items())
        raise UserError(f"{place}: holds no labels of a format that is read: {known}")
    if len(formats) > 1 and not as_format:
        choices = " or ".join(f"--format {name}" for name in formats)
        raise UserError(
            f"{place}: holds labels as {' and as '.join(formats)}; say which: {choices}"
        )
    return Source(chosen, tuple(_places(chosen, place)))


def is_unfinished(folder: Path) -> bool:
    """Whether a process is writing the folder, or was killed while writing it."""
    return (folder / UNFINISHED).is_file()


def _require_no_settings_above(folder: Path) -> None:
    """UserError for a folder of YOLO's text files if its parent folder has a `data.yaml`."""
    for above in folder.absolute().parents[:2]:
        settings = yolo_settings.settings_file(above) if any(label_files(folder, "*.txt")) else None
        if settings is not None:
            raise UserError(
                f"{folder}: YOLO's text files alone; the names of their classes are in {settings}, "
                f"in a folder above: give {above}"
            )


def _formats_of(place: Path) -> list[str]:
    """Recognized formats in the order of `FORMATS`, without duplicates."""
    found = {_format_of_file(place)} if place.is_file() else set(_formats_in(place))
    if len(found) > 1 and place.is_dir() and not _has_lines_of_labels(place):
        found.discard("yolo")  # only a list of names, which other formats may have too
    return [name for name in FORMATS if name in found]


def _has_lines_of_labels(folder: Path) -> bool:
    """Whether the folder has text files with YOLO labels, unlike lists of names or images."""
    for file in label_files(folder, "*.txt"):
        with suppress(RecordFault):  # not text in UTF-8, so another kind of file
            if yolo_settings.may_be_labels(file):
                return True
    return False


def _formats_in(folder: Path) -> Iterator[str]:
    if yolo_settings.settings_file(folder) or yolo_names.name_lists(folder):
        yield "yolo"
    for suffix in _SUFFIXES:
        files = nsmallest(_LOOKED_AT, label_files(folder, f"*.{suffix}"))
        yield from filter(None, map(_format_of_file, files))


def _format_of_file(file: Path) -> str:
    """The format of a file; empty if it is not recognized."""
    suffix = file.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return "yolo"
    if suffix == ".csv":
        return "openimages" if openimages.is_table(file) else ""
    head = head_of(file, _HEAD).replace(b"\0", b"")  # of UTF-16
    if suffix == ".xml":
        tag = re.search(rb"<(annotations?)\b", head)
        return {b"annotation": "voc", b"annotations": "cvat"}.get(tag[1] if tag else b"", "")
    if suffix == ".json":
        return _json_format(head)
    return ""


def _first_files(folder: Path) -> Iterator[Path]:
    """Some of the files with endings of labels, as pointers and empty files have too."""
    for suffix in _SUFFIXES:
        yield from nsmallest(_LOOKED_AT, label_files(folder, f"*.{suffix}"))


def _other_kind(file: Path) -> str:
    return other_kind(head_of(file, HEAD))


def _json_format(head: bytes) -> str:
    keys = {*re.findall(rb'"(\w+)"\s*:', head)}  # names of categories may be the same words
    if re.match(rb"[^\w{\[]{0,8}\[", head):
        return "labelstudio" if keys & _OF_TASKS else ""
    if keys & {b"shapes", b"imageData"}:  # a large image may stand before the shapes
        return "labelme"
    if b"result" in keys and b"images" not in keys:
        return "labelstudio"  # one task
    # a file with only names is Label Studio's notes.json, which its YOLO export contains
    cut_off = len(head) == _HEAD and b"categories" in keys
    return "coco" if cut_off or keys & {b"images", b"annotations"} else ""


def _places(chosen: str, place: Path) -> list[Path]:
    """The paths for the reader of the format; only COCO may have several."""
    if chosen not in ("coco", "labelstudio", "cvat") or place.is_file():
        return [place]
    suffix = "xml" if chosen == "cvat" else "json"
    files = [f for f in sorted(label_files(place, f"*.{suffix}")) if _format_of_file(f) == chosen]
    if any(file.stem.startswith("instances_") for file in files):
        files = [file for file in files if not file.stem.startswith(_OTHER_TASKS)]
    if chosen != "coco" and len(files) > 1:
        names = ", ".join(str(file.relative_to(place)) for file in files[:3])
        raise UserError(f"{place}: holds {len(files)} exports ({names}); give one of the files")
    return files or [place]
