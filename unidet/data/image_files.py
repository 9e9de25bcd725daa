"""Where the image of a record lies on disk, in the folder layouts of the official datasets."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any

from unidet.data.table import Table
from unidet.errors import UserError

_COCO_NUMBER = re.compile(r"\d{12}(?=\.\w+$)")


def image_names(table: Table, root: Path | None) -> tuple[str, ...]:
    """Path of each image relative to `root`.

    The first of these that exists is taken: the name as written; the end of `coco_url`
    (LVIS v1: `val2017/000000123456.jpg`); the last folder and name (Objects365 v2:
    `images/v1/patch8/x.jpg` lies at `patch8/x.jpg`); the name alone; COCO's twelve digits (LVIS
    v0.5: `COCO_val2014_000000123456.jpg` is `000000123456.jpg` of 2017), also below `train2017` or
    `val2017`. Without a root nothing is looked up and the name as written (or its url) stands.

    Raises:
        UserError: no name, a path that leaves the folder, an image that is not there, two records
            with one image.
    """
    choices = [_candidates(table, row) for row in range(len(table))]
    if root is None:
        return tuple(names[0] for names in choices)
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; the images of {table.file} belong there")
    folders = _Folders(root)
    found = [next(filter(folders.holds, names), None) for names in choices]
    if None in found:
        row, count = found.index(None), found.count(None)
        table.fail(
            row,
            f"no image {choices[row][0]!r} below {root} ({count} of {len(table)} images are "
            "missing); point 'images' at the folder that holds them",
        )
    names = tuple(name for name in found if name is not None)
    _refuse_shared(table, names)
    return names


class _Folders:
    """Existence of many files by listing each folder once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names: dict[str, frozenset[str]] = {}

    def holds(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        if folder not in self.names:
            try:
                self.names[folder] = frozenset(os.listdir(self.root / folder))
            except (FileNotFoundError, NotADirectoryError):
                self.names[folder] = frozenset()
        return name in self.names[folder]


def _candidates(table: Table, row: int) -> list[str]:
    """Possible relative paths of a record's image, most trusted first, without repeats."""
    record = table.records[row]
    written, url = _text(record, "file_name"), _text(record, "coco_url")
    if not written and not url:
        table.fail(row, "has neither 'file_name' nor 'coco_url'")
    if written.startswith("/") or ".." in PurePosixPath(written).parts:
        table.fail(row, f"'file_name' {written!r} must be a path inside the images folder")
    names = [str(PurePosixPath(written))] if written else []
    for path in (url, written):
        names += ["/".join(path.split("/")[-2:]), path.rpartition("/")[2]] if path else []
    number = _COCO_NUMBER.search(written)
    if number:
        plain = written[number.start() :]
        names += [plain, f"train2017/{plain}", f"val2017/{plain}"]
    return list(dict.fromkeys(names))


def _text(record: dict[str, Any], field: str) -> str:
    value = record.get(field)
    return value if isinstance(value, str) else ""


def _refuse_shared(table: Table, names: tuple[str, ...]) -> None:
    if len(set(names)) == len(names):
        return
    seen: dict[str, int] = {}
    for row, name in enumerate(names):
        if name in seen:
            table.fail(row, f"its image {name!r} is that of {table.where(seen[name])} already")
        seen[name] = row
