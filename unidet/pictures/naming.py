"""Names of the outputs of images, and checks that they replace no files of the user."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from unidet.errors import UserError
from unidet.pictures.journal import Journal
from unidet.pictures.sources import Source
from unidet.pictures.videos import video_name
from unidet.store.disk import check_folder

DRAWN_AS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
}
"""Suffixes that Pillow can write; drawings of other images are NAME.jpg."""
CROPS = "crops"
LONGEST = 255
"""Most bytes of a file name on Linux."""


@dataclass(frozen=True)
class Names:
    """Paths of the outputs of one source, relative to the output folder.

    Attributes:
        drawing: the image or video with its boxes.
        stem: name without suffix, or with it if another output has the same name.
        crops: folder of the crops.
    """

    drawing: str
    stem: str
    crops: str


def name_outputs(sources: Sequence[Source]) -> list[Names]:
    """Unique names that keep the folders of the sources and do not depend on their order.

    A drawing has the name of its image, or NAME.jpg if its format cannot be written. Names that
    would be too long are shortened.
    """
    drawings = [_drawing_name(source) for source in sources]
    long_names = [
        f"{source.name}{PurePosixPath(name).suffix}"
        for source, name in zip(sources, drawings, strict=True)
    ]
    drawings = _told_apart(drawings, long_names)
    folders = {str(place) for source in sources for place in PurePosixPath(source.name).parents}
    stems = [str(PurePosixPath(source.name).with_suffix("")) for source in sources]
    stems = [  # the frames of a video have a folder of their own
        source.name if source.is_video and stem in folders else stem
        for source, stem in zip(sources, stems, strict=True)
    ]
    stems = _told_apart(stems, [source.name for source in sources])
    crops = CROPS
    while any(source.name.startswith(f"{crops}/") for source in sources):
        crops += "_"
    return [
        Names(cut(drawing), stem, f"{crops}/{stem}")
        for drawing, stem in zip(drawings, stems, strict=True)
    ]


def _told_apart(names: Sequence[str], long_names: Sequence[str]) -> list[str]:
    """Each name, or the long one where another has it too, be it a long one itself; no two long
    names are the same.
    """
    found: list[str] = []
    chosen = list(names)
    while chosen != found:
        found, counts = chosen, Counter(chosen)
        chosen = [
            name if counts[name] == 1 else longer
            for name, longer in zip(found, long_names, strict=True)
        ]
    return found


def cut(path: str) -> str:
    """Shorten the file name of a path if it is too long, with a unique mark of the full name."""
    folder, slash, name = path.rpartition("/")
    content = os.fsencode(name)
    if len(content) <= LONGEST:
        return path
    stem, ending = os.path.splitext(name)
    end = f"~{sha256(content).hexdigest()[:8]}{ending}"
    kept = os.fsencode(stem)[: LONGEST - len(os.fsencode(end))].decode(errors="ignore")
    return f"{folder}{slash}{kept}{end}"


def check_targets(
    folder: Path, names: Iterable[str], sources: Sequence[Source], journal: Journal
) -> None:
    """Check, before long work, that no output replaces a source or a file of the user.

    Raises:
        UserError: an output would replace such a file or cannot be written.
    """
    inputs = {os.path.realpath(source.path) for source in sources}
    checked: set[Path] = set()
    for name in names:
        target = folder / name
        if target.parent not in checked:
            check_folder(target.parent)
            checked.add(target.parent)
        if os.path.realpath(target) in inputs:
            raise UserError(
                f"--out: {target} would replace an image that is read; {_elsewhere(folder)}"
            )
        check_target(folder, name, journal)


def check_target(folder: Path, name: str, journal: Journal) -> None:
    """UserError if this output would replace a file that was not written by a run.

    A file that a link puts elsewhere is not the folder's, whatever its journal says.
    """
    target = folder / name
    if not is_inside(folder, target):
        raise UserError(
            f"--out: {target} is or lies behind a link out of {folder}; {_elsewhere(folder)}"
        )
    if os.path.lexists(target) and not (journal.owns(name) and target.is_file()):
        raise UserError(
            f"--out: {target} is there and was not made by unidet detect; {_elsewhere(folder)}"
        )


def is_inside(folder: Path, path: Path) -> bool:
    """Whether `path` is in this folder or below once all links are followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _elsewhere(folder: Path) -> str:
    name = "detections" if folder.resolve().name != "detections" else "detections_2"
    return f"choose another folder, such as --out {name}"


def _drawing_name(source: Source) -> str:
    if source.is_video:
        return video_name(source.name)
    known = PurePosixPath(source.name).suffix.lower() in DRAWN_AS
    return source.name if known else f"{source.name}.jpg"
