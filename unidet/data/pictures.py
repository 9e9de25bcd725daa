"""The image files of a folder: listing, finding the image of a label, sizes."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from unidet.data.images import read_size, turned
from unidet.errors import UserError
from unidet.formats.findings import Finding
from unidet.formats.labels.records import KINDS, PARTS
from unidet.formats.names import composed

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm")


class PictureFolder:
    """The images at any depth below `root`; links to folders are followed.

    Raises:
        UserError: it is no folder, or holds no image.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; --images names the folder of the images")
        if not self._names:
            raise UserError(f"{root}: holds no image ({', '.join(SUFFIXES)})")

    def all(self) -> Sequence[str]:
        """Paths relative to the folder, sorted."""
        return self._names

    def find(self, written: str) -> str | None:
        """The image of this path, with or without its ending, or the one of this name whose
        folders agree with the path's most, from the name up; None where there is none, or several
        agree equally, or it lies in another folder of images than the path says.

        Names are compared as they read, however their accents are composed; of one in percent
        encoding (Label Studio's exports) the decoded one is looked for last."""
        for path in _spellings(written.strip().replace("\\", "/")):
            for name in (path.name, path.stem):
                if found := self._nearest(path, name, path.parts[:-1]):
                    return found
        return None

    def of_name(self, written: str) -> Sequence[str]:
        """Every image of this path's name, with or without its ending, in whatever folder."""
        for path in _spellings(written.strip().replace("\\", "/")):
            for name in (path.name, path.stem):
                if name in self._by_name:
                    return self._by_name[name]
        return ()

    def beside(self, labels: Path, below: Path) -> str | None:
        """The image of the same name as a file with labels but for the ending, as `find`; only
        the file's folders `below` the place of all labels say where the image must be."""
        for path in _spellings(labels.relative_to(below).with_suffix("").as_posix()):
            if found := self._nearest(PurePosixPath(below) / path, path.name, path.parts[:-1]):
                return found
        return None

    def size(self, name: str) -> tuple[int, int]:
        """Width and height as shown, from the header; UserError where it is no image."""
        return read_size(self.root / name)

    def require_size(self, name: str, width: int, height: int) -> None:
        """UserError where an image is of another size than its labels say."""
        own = self.size(name)
        if own != (width, height):
            raise UserError(
                f"{self.root / name}: is {own[0]}x{own[1]}{turned(self.root / name)}, its labels "
                f"say {width}x{height}; which frame the boxes are in is not known: correct the "
                "labels"
            )

    @cached_property
    def _names(self) -> list[str]:
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        for place, folders, files in os.walk(self.root, followlinks=True):
            folders[:] = [folder for folder in folders if not folder.startswith(".")]
            for folder in folders:
                _refuse_circle(place, folder)
            for file in files:
                if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                    yield os.path.relpath(os.path.join(place, file), self.root)

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Name with and without its ending -> the images that are called so."""
        table: dict[str, list[str]] = {}
        for name, path in self._paths.items():
            for text in (path.name, path.stem):
                table.setdefault(text, []).append(name)
        return table

    @cached_property
    def _paths(self) -> dict[str, PurePosixPath]:
        """Each image -> its path, its accents composed."""
        return {name: PurePosixPath(composed(name)) for name in self._names}

    @cached_property
    def _folders(self) -> set[str]:
        """The name of every folder that holds images, at any depth."""
        return {folder for path in self._paths.values() for folder in path.parts[:-1]}

    def _nearest(self, path: PurePosixPath, name: str, folders: Sequence[str]) -> str | None:
        candidates = [
            candidate
            for candidate in self._by_name.get(name, ())
            if self._may_lie(self._paths[candidate].parts[:-1], folders)
        ]
        if len(candidates) < 2:
            return next(iter(candidates), None)
        shared = [_shared_folders(self._paths[candidate], path) for candidate in candidates]
        most = max(shared)
        return candidates[shared.index(most)] if shared.count(most) == 1 else None

    def _may_lie(self, folders: Sequence[str], said: Sequence[str]) -> bool:
        """Whether an image in these folders may be meant by what was in those: the last of them
        that images lie in, or that says a part, is among its own."""
        last = next((folder for folder in reversed(said) if folder.lower() not in KINDS), "")
        part = PARTS.get(last.lower())
        own = {PARTS[folder.lower()] for folder in folders if folder.lower() in PARTS}
        if part is not None and own:
            return part in own
        return last not in self._folders or last in folders


def unlisted(listed: Container[str], pictures: PictureFolder) -> dict[str, Finding]:
    """The images of a folder without labels."""
    names = [name for name in pictures.all() if name not in listed]
    return {"image that no annotation file lists": Finding(len(names), names[0])} if names else {}


def _refuse_circle(place: str, folder: str) -> None:
    """UserError where a folder is a link to one that it lies in: its images would be many."""
    path = os.path.join(place, folder)
    if os.path.islink(path) and Path(place).resolve().is_relative_to(Path(path).resolve()):
        raise UserError(f"{path}: links form a cycle; remove it")


def _spellings(path: str) -> list[PurePosixPath]:
    """A path with its accents composed, then what it decodes to where it is percent-encoded."""
    texts = dict.fromkeys((composed(path), composed(unquote(path))))
    return [PurePosixPath(text) for text in texts]


def _shared_folders(one: PurePosixPath, other: PurePosixPath) -> int:
    """How many folders two paths have in common, counted from the names up."""
    count = 0
    for mine, theirs in zip(one.parts[-2::-1], other.parts[-2::-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count
