"""Finds the image file of a record, in the folder layouts of the official datasets."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote

import numpy as np

from unidet.data.image_paths import likely, slashed, unlikely, without_address
from unidet.errors import UserError
from unidet.formats.annotations import findings
from unidet.formats.findings import Finding
from unidet.formats.json_text import shown
from unidet.formats.names import composed, without_upload_mark
from unidet.formats.table import Table

_LONGEST = 80
"""Characters of a path in a message."""
# control characters, and surrogates, which file names in UTF-8 cannot contain
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def image_names(table: Table, root: Path | None) -> tuple[tuple[str, ...], dict[str, Finding]]:
    """Path of each image relative to `root`, and findings for the user.

    The first of these files that exists is taken: the name as written; the end of `coco_url` (LVIS
    v1: `val2017/000000123456.jpg`); the last folder and name (Objects365 v2:
    `images/v1/patch8/x.jpg` is at `patch8/x.jpg`); the name alone; COCO's twelve digits (LVIS v0.5:
    `COCO_val2014_000000123456.jpg` is `000000123456.jpg` of 2017), also below `train2017` or
    `val2017`. Unicode names are compared in composed form (NFC), and `\\` separates folders like
    `/`. A name that differs only in case, or is percent-encoded, also matches if this is
    unambiguous. Of a path on another machine, absolute or not, or an address, the longest end that
    is there counts. Without a root, the names as written (or urls) are returned.

    Raises:
        UserError: a name is missing; an image is missing, or is in another folder while others are
            in the named one; two records have the same image.
    """
    if root is None:
        return tuple(_written(table, row) for row in range(len(table))), {}
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; the images of {table.file} belong there")
    folders = _Folders(root)
    places = [_place(folders, table, row) for row in range(len(table))]
    names = tuple(place for place in places if place is not None)
    if len(names) < len(places):
        rows = [row for row, place in enumerate(places) if place is None]
        written = _written(table, rows[0])
        table.fail(
            rows,
            f"no image {_end_shown(written)} below {root} ({len(rows)} of {len(table)} images are "
            f"missing); {_advice(folders, written)}",
            "its file is not in the images folder",
        )
    _refuse_shared(table, names)
    return names, _moved(table, names) | _respelt(table, names)


def _end_shown(written: str) -> str:
    """A path for a message; of a long one the end, which tells images apart."""
    text = repr(written)
    return text if len(text) <= _LONGEST else f"'…{text[-_LONGEST:]}"


def _advice(folders: _Folders, written: str) -> str:
    """What to do about an image that is not there."""
    if alike := folders.alike(slashed(written)):
        return f"{shown(alike)} has another ending"
    if deeper := folders.deeper(slashed(written)):
        both = " and ".join(map(shown, deeper))
        return f"point 'images' at its folder, or name the folder in 'file_name': there is {both}"
    return "point 'images' at the folder that holds them"


def _place(folders: _Folders, table: Table, row: int) -> str | None:
    """The path of a record's image on the disk; None where there is none."""
    written = _written(table, row)
    own = _text(table, row, "file_name")
    place = next(filter(None, map(folders.find, likely(own, _address(table, row)))), None)
    return place or next(filter(None, map(folders.find, unlikely(written))), None)


def _written(table: Table, row: int) -> str:
    """The name or the address of a record's image; UserError where it has neither."""
    written = _text(table, row, "file_name") or _text(table, row, "coco_url")
    if not written:
        table.fail(row, "has neither 'file_name' nor 'coco_url'")
    return written


def _respelt(table: Table, names: tuple[str, ...]) -> dict[str, Finding]:
    """Findings for names that differ in case (found only on Windows and macOS), are encoded, lack
    their ending, or have the mark of an upload."""
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
        "file name without the image's ending": [
            a != b and a.lower() == b.rpartition(".")[0].lower() for a, b in pairs
        ],
        "file name with the mark of an upload to Label Studio, which the image's has not": [
            a.lower() != b.lower() == without_upload_mark(a).lower() for a, b in pairs
        ],
    }
    return findings(table, {remark: np.array(mask, bool) for remark, mask in masks.items()})


def _moved(table: Table, names: tuple[str, ...]) -> dict[str, Finding]:
    """Findings for images in another folder than the named one; UserError if only some are.

    The name of the images folder itself does not matter, as in keys: what all records have before
    the paths of their images is that folder, and so is the one folder that all records name if all
    images are directly in the images folder.
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
    pairs = zip(written, names, strict=True)
    homes = {_before(f"/{name}", own) for name, own in pairs if "/" in name}
    if len(homes) == 1 and None not in homes:
        return {}
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


def _before(path: str, own: str) -> str | None:
    """What a path has before that of its image; None where it does not end so."""
    whole, end = (composed(unquote(text)).lower() for text in (path, f"/{own}"))
    return whole.removesuffix(end) if whole.endswith(end) else None


def _tail(path: str) -> str:
    """The last folder and the name in composed Unicode form (NFC), percent-decoded."""
    return composed(unquote("/".join(path.split("/")[-2:])))


class _Folders:
    """Existence of many files by listing each folder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, tuple[dict[str, str], dict[str, str]]] = {}

    def find(self, path: str) -> str | None:
        """The path as spelt on the disk; None where there is no such file."""
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

    def alike(self, path: str) -> str:
        """A file of that name but for its ending, in that folder or the first; empty without."""
        folder, _, name = path.rpartition("/")
        stem = name.rpartition(".")[0] or name
        for place in dict.fromkeys((folder, "")):
            for own in sorted(self._listed(place)[0]) if ".." not in place.split("/") else ():
                if own.rpartition(".")[0] == stem:
                    return f"{place}/{own}" if place else own
        return ""

    def deeper(self, path: str) -> list[str]:
        """The first two files of that name in any folder, however deep."""
        name = composed(path.rpartition("/")[2])
        found: list[str] = []
        for place, subfolders, files in os.walk(self.root):
            subfolders.sort()
            same = (own for own in sorted(files) if composed(own) == name)
            found += [os.path.relpath(os.path.join(place, own), self.root) for own in same]
            if len(found) > 1:
                break
        return found[:2]

    def _listed(self, folder: str) -> tuple[dict[str, str], dict[str, str]]:
        """Name, also in composed form (NFC) -> name on disk; and the same for lower-case names.

        A lower-case name that is ambiguous maps to an empty string.
        """
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


def _address(table: Table, row: int) -> str:
    """`coco_url` as a path; empty where there is none."""
    url = _text(table, row, "coco_url")
    return without_address(url) if "://" in url else url


def _slashed(table: Table, row: int) -> str:
    return slashed(_text(table, row, "file_name"))


def _text(table: Table, row: int, field: str) -> str:
    """The field, empty if it is missing; UserError where it is not a possible file name."""
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
        f"its file {shown(name)} is already that of {table.where(seen[name])}; an image is "
        "listed once: make one record of the two, with the annotations of both, or, if they are "
        "two images (frames of two videos), give each a file of its own name",
        "its file is already that of another image",
    )
