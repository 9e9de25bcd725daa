"""The image files of a folder: listing, finding the image of a label, sizes."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from unidet.data.image_paths import SUFFIXES
from unidet.data.images import read_size_and_turn, turned
from unidet.errors import HEAD, UserError, other_kind
from unidet.formats.findings import Finding
from unidet.formats.labels.records import KINDS, PARTS
from unidet.formats.names import composed, without_upload_mark

UNLISTED = "image that no annotation file lists"


class PictureFolder:
    """The images at any depth below `root`; links to folders are followed.

    Raises:
        UserError: it is not a folder, or contains no image.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._turned: set[str] = set()
        self._named: set[str] = set()
        if not root.is_dir():
            raise UserError(f"{root}: {_no_folder(root)}; --images names the folder of the images")
        if not self._names:
            raise UserError(f"{root}: holds no image ({', '.join(SUFFIXES)})")

    def all(self) -> Sequence[str]:
        """Paths relative to the folder, sorted."""
        return self._names

    def find(self, written: str) -> str | None:
        """Find the image that a label file refers to; None if there is none or it is ambiguous.

        This is the image with this path, with or without its suffix. Otherwise it is the image with
        this name whose parent folders match the path's best, unless several match equally well or
        the path names another folder of images. Unicode names are compared in composed form (NFC).
        A percent-encoded name (exports of Label Studio) is also tried decoded.
        """
        for path in _spellings(written.strip().replace("\\", "/")):
            for name in (path.name, path.stem):
                found = self._nearest(path, name, path.parts[:-1])
                if len(found) == 1:
                    return self._noted(found[0])
        return None

    def of_name(self, written: str) -> Sequence[str]:
        """All images with the name of this path, with or without its suffix, in any folder."""
        for path in _spellings(written.strip().replace("\\", "/")):
            for name in (path.name, path.stem):
                if name in self._by_name:
                    return self._by_name[name]
        return ()

    def beside(self, labels: Path, below: Path) -> str | None:
        """The image with the name of a label file except for the suffix, as `find`; or without the
        mark of an upload to Label Studio.

        Only the label file's folders below `below` must match those of the image.
        """
        sets = self._sets_beside(labels, below)
        only = next((images[0] for images in sets if len(images) == 1), None)
        return None if only is None else self._noted(only)

    def _noted(self, name: str) -> str:
        self._named.add(name)
        return name

    @property
    def named(self) -> int:
        """How many images labels have asked for."""
        return len(self._named)

    def unlisted(self, listed: Container[str]) -> dict[str, Finding]:
        """The images that are not listed, and that no label has asked for: those of labels that
        were left out are not without labels."""
        names = [name for name in self._names if name not in listed and name not in self._named]
        return {UNLISTED: Finding(len(names), names[0])} if names else {}

    def rivals(self, labels: Path, below: Path) -> Sequence[str]:
        """Several images that a label file could be of, where `beside` finds none for that."""
        return next((images for images in self._sets_beside(labels, below) if len(images) > 1), ())

    def _sets_beside(self, labels: Path, below: Path) -> Iterator[Sequence[str]]:
        """The nearest images of each name that a label file's image may have."""
        for path in _spellings(labels.relative_to(below).with_suffix("").as_posix()):
            for name in dict.fromkeys((path.name, without_upload_mark(path.name))):
                yield self._nearest(PurePosixPath(below) / path, name, path.parts[:-1])

    def size(self, name: str) -> tuple[int, int]:
        """Upright width and height, from the header; UserError where it is not an image."""
        sides, is_turned = read_size_and_turn(self.root / name)
        if is_turned:
            self._turned.add(name)
        return sides

    def turned(self) -> dict[str, Finding]:
        """A note on the images whose size was read and that EXIF turns; labels in fractions of an
        image do not say of which side."""
        if not self._turned:
            return {}
        remark = (
            "image turned upright by its EXIF orientation: its labels are read as of the upright"
        )
        return {f"{remark} image": Finding(len(self._turned), min(self._turned))}

    def require_size(self, name: str, width: int, height: int) -> None:
        """UserError where the size of an image differs from that in its labels."""
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
        """Name with and without suffix -> the images with this name."""
        table: dict[str, list[str]] = {}
        for name, path in self._paths.items():
            for text in (path.name, path.stem):
                table.setdefault(text, []).append(name)
        return table

    @cached_property
    def _paths(self) -> dict[str, PurePosixPath]:
        """Image -> its path in composed Unicode form (NFC)."""
        return {name: PurePosixPath(composed(name)) for name in self._names}

    @cached_property
    def _folders(self) -> set[str]:
        """Names of all folders that contain images, at any depth."""
        return {folder for path in self._paths.values() for folder in path.parts[:-1]}

    def _nearest(self, path: PurePosixPath, name: str, folders: Sequence[str]) -> Sequence[str]:
        """The images with a name whose parent folders match a path's equally well, and best."""
        candidates = [
            candidate
            for candidate in self._by_name.get(name, ())
            if self._may_lie(self._paths[candidate].parts[:-1], folders)
        ]
        if len(candidates) < 2:
            return candidates
        shared = [_shared_folders(self._paths[candidate], path) for candidate in candidates]
        return [
            name for name, count in zip(candidates, shared, strict=True) if count == max(shared)
        ]

    def _may_lie(self, folders: Sequence[str], said: Sequence[str]) -> bool:
        """Whether an image in `folders` may be one that labels place in the folders `said`.

        The last of `said` that contains images or names a part must be one of `folders`.
        """
        last = next((folder for folder in reversed(said) if folder.lower() not in KINDS), "")
        part = PARTS.get(last.lower())
        own = {PARTS[folder.lower()] for folder in folders if folder.lower() in PARTS}
        if part is not None and own:
            return part in own
        return last not in self._folders or last in folders


def _no_folder(place: Path) -> str:
    """What is in place of a folder."""
    if not place.is_file():
        return "no such folder"
    with place.open("rb") as file:
        return other_kind(file.read(HEAD)) or "is a file"


def _refuse_circle(place: str, folder: str) -> None:
    """UserError where a folder is a link to one of its parents, or to one that the way to it leads
    through by other links, which would list images forever."""
    path = os.path.join(place, folder)
    if not os.path.islink(path):
        return
    target = Path(path).resolve()
    way = (Path(place), *Path(place).parents)
    if Path(place).resolve().is_relative_to(target) or target in (each.resolve() for each in way):
        raise UserError(f"{path}: links form a cycle; remove it")


def _spellings(path: str) -> list[PurePosixPath]:
    """The path in composed Unicode form (NFC) and, if it is percent-encoded, its decoded form."""
    texts = dict.fromkeys((composed(path), composed(unquote(path))))
    return [PurePosixPath(text) for text in texts]


def _shared_folders(one: PurePosixPath, other: PurePosixPath) -> int:
    """Number of equal parent folders of two paths, counted from the file names upwards."""
    count = 0
    for mine, theirs in zip(one.parts[-2::-1], other.parts[-2::-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count
