"""The picture files of a folder: which there are, which one a label means, how large they are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from unidet.data.images import read_size
from unidet.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


class PictureFolder:
    """The pictures at any depth below `root`; links to folders are followed.

    Raises:
        UserError: it is no folder, or holds no picture.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; --images names the folder of the pictures")
        if not self._names:
            raise UserError(f"{root}: holds no picture ({', '.join(SUFFIXES)})")

    def all(self) -> Sequence[str]:
        """Paths relative to the folder, sorted."""
        return self._names

    def find(self, written: str) -> str | None:
        """The picture of this path, with or without its ending, or the one of this name whose
        folders agree with the path's most, from the name up; None where there is none, or several
        agree equally."""
        path = PurePosixPath(written.strip().replace("\\", "/"))
        return self._nearest(path, path.name) or self._nearest(path, path.stem)

    def beside(self, labels: Path) -> str | None:
        """The picture of the same name as a file with labels but for the ending, as `find`."""
        return self._nearest(PurePosixPath(labels.as_posix()), labels.stem)

    def size(self, name: str) -> tuple[int, int]:
        """Width and height as shown, from the header; UserError where it is no picture."""
        return read_size(self.root / name)

    @cached_property
    def _names(self) -> list[str]:
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        for place, folders, files in os.walk(self.root, followlinks=True):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            for file in files:
                if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                    yield os.path.relpath(os.path.join(place, file), self.root)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Name with and without its ending -> the pictures that are called so."""
        table: dict[str, list[str]] = {}
        for name in self._names:
            path = PurePosixPath(name)
            for text in (path.name, path.stem):
                table.setdefault(text, []).append(name)
        return table

    def _nearest(self, path: PurePosixPath, name: str) -> str | None:
        candidates = self._by_name.get(name, ())
        if len(candidates) < 2:
            return next(iter(candidates), None)
        shared = [_shared_folders(PurePosixPath(candidate), path) for candidate in candidates]
        most = max(shared)
        return candidates[shared.index(most)] if shared.count(most) == 1 else None


def _shared_folders(one: PurePosixPath, other: PurePosixPath) -> int:
    """How many folders two paths have in common, counted from the names up."""
    count = 0
    for mine, theirs in zip(one.parts[-2::-1], other.parts[-2::-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count
