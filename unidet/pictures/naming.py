"""Names of each image's outputs, and which files they never replace."""

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
"""Endings of files that Pillow writes; other images are drawn as NAME.jpg."""
CROPS = "crops"
LONGEST = 255
"""Bytes of a file's name on Linux."""


@dataclass(frozen=True)
class Names:
    """Paths of one source's outputs below the folder of all.

    Attributes:
        drawing: of the image or video with its boxes.
        stem: its name without an ending, or with it where another has the same.
        crops: the folder of its crops.
    """

    drawing: str
    stem: str
    crops: str


def name_outputs(sources: Sequence[Source]) -> list[Names]:
    """Names that are unique, keep the sources' folders and do not depend on the sources' order.

    A drawing has the name of its image, or NAME.jpg if its format cannot be written; names that a
    suffix makes too long are cut.
    """
    drawings = [_drawing_name(source) for source in sources]
    twice = {name for name, count in Counter(drawings).items() if count > 1}
    drawings = [
        f"{source.name}{PurePosixPath(name).suffix}" if name in twice else name
        for source, name in zip(sources, drawings, strict=True)
    ]
    stems = [str(PurePosixPath(source.name).with_suffix("")) for source in sources]
    counts = Counter(stems)
    crops = CROPS
    while any(source.name.startswith(f"{crops}/") for source in sources):
        crops += "_"
    names = []
    for source, drawing, stem in zip(sources, drawings, stems, strict=True):
        stem = stem if counts[stem] == 1 else source.name
        names.append(Names(cut(drawing), stem, f"{crops}/{stem}"))
    return names


def cut(path: str) -> str:
    """A path whose file has no longer a name than it may; a cut one tells by a mark of its own
    whose it is."""
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
    """Before long work: check that no output replaces a source or a file that no run has written.

    Raises:
        UserError: it would, or a place cannot be written.
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
                f"--out: {target} would replace an image that is read; choose another folder, "
                "such as --out detections"
            )
        check_target(folder, name, journal)


def check_target(folder: Path, name: str, journal: Journal) -> None:
    """UserError if this output would replace a file that no run has written."""
    target = folder / name
    if os.path.lexists(target) and not (journal.owns(name) and target.is_file()):
        raise UserError(
            f"--out: {target} is there and was not made by unidet detect; choose another folder, "
            "such as --out detections"
        )


def _drawing_name(source: Source) -> str:
    if source.is_video:
        return video_name(source.name)
    known = PurePosixPath(source.name).suffix.lower() in DRAWN_AS
    return source.name if known else f"{source.name}.jpg"
