"""Finds the image file of a record, in the folder layouts of the official datasets."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from unidet.errors import UserError
from unidet.formats.annotations import findings
from unidet.formats.findings import Finding
from unidet.formats.json_text import shown
from unidet.formats.names import composed
from unidet.formats.table import Table

_COCO_NUMBER = re.compile(r"\d{12}(?=\.\w+$)")
# control characters, and halves of characters that no file name in UTF-8 can hold
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_DRIVE = re.compile(r"[A-Za-z]:/")


def image_names(table: Table, root: Path | None) -> tuple[tuple[str, ...], dict[str, Finding]]:
    """Path of each image relative to `root`, and what is worth a note.

    The first of these that exists is taken: the name as written; the end of `coco_url`
    (LVIS v1: `val2017/000000123456.jpg`); the last folder and name (Objects365 v2:
    `images/v1/patch8/x.jpg` lies at `patch8/x.jpg`); the name alone; COCO's twelve digits (LVIS
    v0.5: `COCO_val2014_000000123456.jpg` is `000000123456.jpg` of 2017), also below `train2017` or
    `val2017`. Names are compared as they read, however their accents are composed, and `\\` parts
    folders as `/` does; where only one differs by capitals alone, or is what a name in percent
    encoding decodes to, it is that one. Without a root nothing is looked up and the name as written
    (or its url) stands.

    Raises:
        UserError: no name, a path that leaves the folder, an image that is not there or, where
            others are in the folder that they name, only in another one; two records with one
            image.
    """
    choices = (_candidates(table, row) for row in range(len(table)))
    if root is None:
        return tuple(names[0] for names in choices), {}
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; the images of {table.file} belong there")
    folders = _Folders(root)
    places = [next(filter(None, map(folders.find, names)), None) for names in choices]
    names = tuple(place for place in places if place is not None)
    if len(names) < len(places):
        rows = [row for row, place in enumerate(places) if place is None]
        table.fail(
            rows,
            f"no image {shown(_candidates(table, rows[0])[0])} below {root} ({len(rows)} of "
            f"{len(table)} images are missing); point 'images' at the folder that holds them",
            "its file is not in the images folder",
        )
    _refuse_shared(table, names)
    return names, _moved(table, names) | _respelt(table, names)


def _respelt(table: Table, names: tuple[str, ...]) -> dict[str, Finding]:
    """The images that are spelt with other capitals, which only Windows and macOS would find, or in
    percent encoding."""
    written = [composed(_slashed(table, row)).split("/")[-1] for row in range(len(table))]
    own = [composed(name).split("/")[-1] for name in names]
    pairs = [*zip(written, own, strict=True)]
    masks = {
        "file name with other capitals than the image's": [
            a != b and a.lower() == b.lower() for a, b in pairs
        ],
        "file name in percent encoding, which the image's is not": [
            a.lower() != b.lower() == composed(unquote(a)).lower() for a, b in pairs
        ],
    }
    return findings(table, {remark: np.array(mask, bool) for remark, mask in masks.items()})


def _moved(table: Table, names: tuple[str, ...]) -> dict[str, Finding]:
    """The images that lie in another folder than theirs; UserError if only some of them do.

    What the images folder itself is called does not matter, as it does not for a key: where all
    records name one folder and all images lie in the images folder, this is that one.
    """
    written = [_slashed(table, row) for row in range(len(table))]
    named = np.array(["/" in name for name in written], bool)
    there = np.array(
        [
            _tail(name).lower() in (_tail(own).lower(), _tail(_address(table, row)).lower())
            for row, (own, name) in enumerate(zip(written, names, strict=True))
        ],
        bool,
    )
    moved, kept = named & ~there, int(np.count_nonzero(named & there))
    row = int(np.argmax(moved))
    if moved.any() and kept:
        table.fail(
            np.flatnonzero(moved).tolist(),
            f"no image {shown(written[row])}, only {shown(names[row])}, which may be another "
            f"({kept} others lie in the folder that they name); move or rename it",
            "its file is in another folder than the one named",
        )
    rows = np.flatnonzero(moved)
    folders = {_tail(written[row]).partition("/")[0] for row in rows}
    if len(folders) == 1 and not any("/" in names[row] for row in rows):
        return {}
    remark = f"image taken from another folder than the one named ({shown(names[row])})"
    return findings(table, {remark: moved})


def _tail(path: str) -> str:
    """The last folder and the name, however their accents are composed, percent encoding undone."""
    return composed(unquote("/".join(path.split("/")[-2:])))


class _Folders:
    """Existence of many files by listing each folder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, tuple[dict[str, str], dict[str, str]]] = {}

    def find(self, path: str) -> str | None:
        """The path as the disk spells it; None where there is no such file."""
        place = ""
        for part in path.split("/"):
            names, small = self._listed(place)
            name = names.get(part)
            for plain in (composed(part), composed(unquote(part))):
                name = name or names.get(plain) or small.get(plain.lower())
            if not name:
                return None
            place = f"{place}/{name}" if place else name
        return place

    def _listed(self, folder: str) -> tuple[dict[str, str], dict[str, str]]:
        """Name -> name on disk, also from the name with its accents composed (NFC); and from the
        name in small letters, empty where several are alike."""
        if folder not in self.names:
            on_disk = self._names_in(folder)
            names = {composed(name): name for name in on_disk}
            small: dict[str, str] = {}
            for plain, name in names.items():
                small[plain.lower()] = "" if plain.lower() in small else name
            self.names[folder] = names | {name: name for name in on_disk}, small
        return self.names[folder]

    def _names_in(self, folder: str) -> list[str]:
        try:
            return os.listdir(self.root / folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as fault:
            raise UserError(f"{self.root / folder}: cannot be listed ({fault.strerror})") from None


def _candidates(table: Table, row: int) -> list[str]:
    """Possible relative paths of a record's image, most trusted first, without repeats."""
    written, url = _text(table, row, "file_name"), _address(table, row)
    if not written and not url:
        table.fail(row, "has neither 'file_name' nor 'coco_url'")
    slashed = _slashed(table, row)
    if slashed.startswith("/") or ".." in slashed.split("/") or _DRIVE.match(slashed):
        table.fail(row, f"'file_name' {shown(written)} must be a path inside the images folder")
    names = [path for path in (str(PurePosixPath(written)), slashed) if written]
    for path in (url, slashed):
        names += ["/".join(path.split("/")[-2:]), path.rpartition("/")[2]] if path else []
    number = _COCO_NUMBER.search(written)
    if number:
        plain = written[number.start() :]
        names += [plain, f"train2017/{plain}", f"val2017/{plain}"]
    return list(dict.fromkeys(names))


def _address(table: Table, row: int) -> str:
    """`coco_url` without a query or fragment, which are no part of a file's name."""
    url = _text(table, row, "coco_url")
    return re.sub(r"[?#].*$", "", url) if "://" in url else url


def _slashed(table: Table, row: int) -> str:
    written = _text(table, row, "file_name").replace("\\", "/")
    return str(PurePosixPath(written)) if written else ""


def _text(table: Table, row: int, field: str) -> str:
    """The field, empty where it is absent; UserError where no file can be called so."""
    value = table.value(field, row)
    if value is None:
        return ""
    if not isinstance(value, str) or _UNWRITABLE.search(value):
        table.fail(row, f"'{field}' is {shown(value)}, must be a path, in characters that print")
    return value


def _refuse_shared(table: Table, names: tuple[str, ...]) -> None:
    if len(set(names)) == len(names):
        return
    seen: dict[str, int] = {}
    again = [row for row, name in enumerate(names) if seen.setdefault(name, row) != row]
    name = names[again[0]]
    table.fail(
        again,
        f"its file {shown(name)} is already that of {table.where(seen[name])}",
        "its file is already that of another image",
    )
