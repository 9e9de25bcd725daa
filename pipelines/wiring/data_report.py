"""`unidet data check` and `convert`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from unidet.console.terminal import Progress
from unidet.counts import counted
from unidet.data.check import (
    Faults,
    check_pictures,
    check_tables,
    note_copies,
    note_unlabelled,
    shared_pictures,
)
from unidet.data.own_data import read_own, reader_of, require_apart
from unidet.data.own_parts import unknown_names
from unidet.data.pictures import PictureFolder
from unidet.errors import UserError
from unidet.formats.annotations import sentences
from unidet.formats.findings import Finding
from unidet.formats.labels.coco import labels_of
from unidet.formats.labels.records import Box, Labelled, stem_of
from unidet.pictures.spelling import require_told_apart
from unidet.pipelines.wiring.named_data import OWN, NamedData
from unidet.pipelines.wiring.whole_folder import check_empty, new_folder
from unidet.records import Split
from unidet.store.disk import check_folder
from unidet.store.hashing import sha256_file

WITHOUT_CROWDS = ("yolo", "labelme", "cvat", "labelstudio")
"""Formats that cannot say that a box holds several objects."""
FILE_PER_IMAGE = ("yolo", "labelme", "voc")


# --- check -------------------------------------------------------------------------------------


@dataclass
class CheckedSet:
    """A set and what is wrong with it; `digests` of the images that can be read, by name."""

    name: str
    file: str
    role: str
    faults: Faults
    images: int = 0
    boxes: int = 0
    digests: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        file = f" ({self.file})" if self.file else ""
        boxes = counted(self.boxes, "box", "boxes")
        yield f"{self.name}{file}: {counted(self.images, 'image')}, {boxes}"
        yield from (f"  fault: {line}" for line in sentences(self.faults.refused))
        yield from (f"  note: {line}" for line in sentences(self.faults.noted))


@dataclass(frozen=True)
class Check:
    """All sets, and which evaluation sets have images that are trained on."""

    sets: list[CheckedSet]
    overlaps: dict[str, Finding]

    @property
    def is_sound(self) -> bool:
        return not self.overlaps and not any(entry.faults.refused for entry in self.sets)

    def lines(self) -> list[str]:
        lines = [line for entry in self.sets for line in entry.lines()]
        lines += [f"fault: {line}" for line in sentences(self.overlaps)]
        return [*lines, "no fault"] if self.is_sound else lines

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        sets = [asdict(entry) for entry in self.sets]
        for entry in sets:
            del entry["digests"]
        overlaps = {name: asdict(finding) for name, finding in self.overlaps.items()}
        return {"sound": self.is_sound, "sets": sets, "overlaps": overlaps}


def check(sets: Iterable[NamedData], foreign: Faults) -> Check:
    """Every fault of every set.

    Args:
        foreign: where the reader of the labels puts its own; they count for the first set.
    """
    checked: list[CheckedSet] = []
    listed: dict[Path, set[str]] = {}
    trained: set[str] = set()
    evaluated: set[str] = set()
    for data in _listed(sets, foreign):
        faults = foreign if not checked else Faults()
        entry = CheckedSet(data.name, data.file.resolve().name, data.role, faults)
        checked.append(entry)
        split, written = _indexed(data, faults)
        if split is None:
            continue
        if not data.is_converted:
            listed.setdefault(data.images, set()).update(split.file_names, written)
        entry.images, entry.boxes = len(split), len(split.labels)
        progress = Progress(f"decoding {data.name}")
        sound = check_pictures(split, data.images, faults, progress.update)
        progress.close()
        entry.digests = {name: sha256_file(data.images / name) for name in sorted(sound)}
        note_copies(entry.digests, faults)
        if data.vocabulary == OWN and data.role:
            names = trained if data.role == "training" else evaluated
            names |= {category.name for category in split.categories}
    if trained and (strange := unknown_names(trained, evaluated)):
        # as `unidet new` and `convert` refuse them
        checked[0].faults.refuse("category of val that train has not", strange[0], len(strange))
    for images, names in listed.items():
        note_unlabelled(names, images, checked[0].faults)
    return Check(checked or [CheckedSet("labels", "", "", foreign)], dict(_overlaps(checked)))


def _listed(sets: Iterable[NamedData], foreign: Faults) -> list[NamedData]:
    """The sets; none where no record of the labels is sound."""
    try:
        return list(sets)
    except UserError:
        if not foreign.refused:
            raise
        return []


def _indexed(data: NamedData, faults: Faults) -> tuple[Split | None, list[str]]:
    """The index of what is sound, and the names of all images, as written."""
    try:
        tables = data.read()
    except UserError as fault:
        faults.refuse(str(fault).removeprefix(f"{data.file}: "), data.file.name)
        return None, []
    is_evaluated = data.role != "training"  # labels of no study yet may become either
    split = check_tables(data.file, tables, data.images, faults, is_evaluated=is_evaluated)
    images = tables.get("images")
    written = [] if images is None else images.values("file_name") + images.values("coco_url")
    return split, [name for name in written if isinstance(name, str)]


def _overlaps(sets: list[CheckedSet]) -> Iterator[tuple[str, Finding]]:
    for evaluated in (entry for entry in sets if entry.role == "evaluation"):
        for trained in (entry for entry in sets if entry.role == "training"):
            shared = shared_pictures(trained.digests, evaluated.digests)
            if shared is not None:
                yield f"image of {evaluated.name} that {trained.name} trains on", shared


# --- convert -----------------------------------------------------------------------------------


def convert(annotations: Path, images: Path, as_format: str, target: str, out: Path) -> list[str]:
    """Write the labels in another format to a new folder; what was written and what was lost.

    Raises:
        UserError: labels that cannot be read, images of another size than they say, or a folder
            that is not empty or is the user's own.
    """
    require_apart(out, images, annotations)
    check_folder(out)
    check_empty(out)
    data = read_own(annotations, images, as_format)
    labels = labels_of(annotations, data.documents)
    pictures = PictureFolder(images)
    for image in labels.images:
        pictures.require_size(image.file_name, image.width, image.height)
    if target in FILE_PER_IMAGE:
        require_told_apart(out, map(stem_of, labels.images))
    with new_folder(out):
        reader_of(target).write(labels, out, images)
    boxes = [box for image in labels.images for box in image.boxes]
    lost = sum(box.is_crowd for box in boxes) if target in WITHOUT_CROWDS else 0
    kept = counted(len(boxes) - lost, "box", "boxes")
    line = f"{out}: {counted(len(labels.images), 'image')}, {kept} as {target}"
    notes = [f"note: {note}" for note in data.notes]
    if lost:
        notes.append(f"note: {counted(lost, 'crowd')} left out: {target} has none")
    if outside := sum(_is_outside(box, image) for image in labels.images for box in image.boxes):
        notes.append(
            f"note: {counted(outside, 'box', 'boxes')} outside the image, written unchanged; "
            "unidet data check names the first"
        )
    return [*notes, line]


def _is_outside(box: Box, image: Labelled) -> bool:
    """Whether no pixel of the image is in the box."""
    left, top, right, bottom = box.xyxy
    return left >= image.width or top >= image.height or right <= 0 or bottom <= 0
