"""Annotation files that `unidet data prepare` makes of others: parts, complements, frequencies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from unidet.config.prepare import Part, PreparedData
from unidet.console.terminal import Progress, say
from unidet.counts import counted
from unidet.data.parts import (
    Kept,
    frequencies,
    frequencies_path,
    images_without,
    part_path,
    random_part,
    write_annotations,
)
from unidet.errors import UserError
from unidet.store.disk import whole_file


def add_complements(data: PreparedData, root: Path) -> None:
    """Annotation files of images that another lacks, where they are not there and these two are."""
    for place, made_of in data.complements.items():
        sources = (root / made_of.images_of, root / made_of.without)
        if not (root / place).exists() and all(source.exists() for source in sources):
            with counting(place) as progress:
                write_kept(images_without(*sources, progress), root / place)


def add_part(data: PreparedData, root: Path) -> None:
    """The seeded part of an annotation file, and its frequencies, where they are not there."""
    if data.part is None or data.pictures is not None:
        return
    part = part_file(data.part, root)
    if not part.exists():
        source = root / data.part.annotations
        with counting(part.name) as progress:
            write_kept(random_part(source, data.part.percent, data.part.seed, progress), part)
    add_frequencies(part)


def part_file(part: Part, root: Path) -> Path:
    """Where the part lies: with all images, it is the whole file."""
    whole = root / part.annotations
    return whole if part.percent == 100 else part_path(whole, part.percent, part.seed)


def add_frequencies(annotations: Path) -> None:
    """`NAME_cat_info.json` beside an annotation file, as the official heads read it."""
    target = frequencies_path(annotations)
    if not target.exists():
        with counting(target.name) as progress:
            counted = frequencies(annotations, progress)
        with whole_file(target) as temporary:
            temporary.write_text(json.dumps(counted))


def write_kept(kept: Kept, target: Path) -> None:
    """An annotation file, whole or not at all.

    Raises:
        UserError: nothing is kept.
    """
    if not kept.images:
        raise UserError(f"{target}: would have no images; are its sources of the same data set?")
    with whole_file(target) as temporary, temporary.open("w") as out:
        write_annotations(kept, out)
    images, boxes = counted(len(kept.images), "image"), counted(len(kept.annotations), "annotation")
    say(f"{target}: {images}, {boxes}")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int], None]]:
    """A progress that knows no end: records that were read."""
    progress = Progress(f"records for {what}")
    try:
        yield lambda count: progress.update(count, count)
    finally:
        progress.close()
