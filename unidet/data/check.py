"""All faults of a dataset by kind, where stage `data` stops at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from unidet.data.images import FolderImages, OtherSize, image_faults
from unidet.data.pictures import PictureFolder
from unidet.data.readers import BOXLESS, CROWD, split_of
from unidet.data.sampler import SMALLEST_IMAGE, is_labelled, is_small
from unidet.errors import UserError
from unidet.formats.annotations import Annotations, annotations_of, findings
from unidet.formats.findings import Finding, TableFault
from unidet.formats.ground_truth import ground_truth_of
from unidet.formats.json_text import shown
from unidet.formats.labels.records import RecordFault
from unidet.formats.tables import Tables
from unidet.records import Split

Result = TypeVar("Result")
BACKGROUND = (
    "image without an object (no box, or crowds alone): not trained on, not even as background, "
    "but evaluated on"
)
SMALL = f"image with a side below {SMALLEST_IMAGE} pixels: not trained on"
_MOST_ROUNDS = 100
"""Of reading without what was at fault: a set with more kinds of fault is told about these."""


@dataclass
class Faults:
    """Faults by kind, each with the number of records and the first one. Those of `refused` stop a
    study, with those of `noted` it runs: what is left out, or read otherwise than written.
    """

    refused: dict[str, Finding] = field(default_factory=dict)
    noted: dict[str, Finding] = field(default_factory=dict)

    def refuse(self, kind: str, first: str, count: int = 1) -> None:
        known = self.refused.get(kind, Finding(0, first))
        self.refused[kind] = Finding(known.count + count, known.first)

    def refuse_record(self, fault: RecordFault) -> None:
        """Takes what a reader of labels refuses (`formats.labels.records.Refuse`)."""
        self.refuse(fault.kind, fault.where)

    def note(self, findings: dict[str, Finding]) -> None:
        self.noted |= findings


def check_tables(
    path: Path, tables: Tables, images: Path, faults: Faults, *, is_evaluated: bool
) -> Split | None:
    """The index of what is sound in a file's tables; its faults go to `faults`.

    Args:
        path: what messages call it.
        is_evaluated: it must be ground truth for COCO's or LVIS's AP as well.
    """

    def index(read: Annotations) -> Split:
        split, report = split_of(read, images, name=path.stem)
        faults.note({f"skipped: {kind}": finding for kind, finding in report.skipped.items()})
        noted = {remark: own for remark, own in report.noted.items() if remark != BOXLESS}
        faults.note(noted | findings(read.boxes, {CROWD: read.is_crowd}) | untrained(split, read))
        return split

    if is_evaluated:  # first, so that what an evaluation refuses is not said to be skipped as well
        _, sound = _sound_part(path, tables, faults, ground_truth_of)
        if sound.get("annotations"):
            tables = sound
    return _sound_part(path, tables, faults, index)[0]


def untrained(split: Split, read: Annotations) -> dict[str, Finding]:
    """The images of a set that training would leave out (`sampler.trainable_rows`)."""
    labelled = is_labelled(split)
    return findings(read.images, {BACKGROUND: ~labelled, SMALL: labelled & is_small(split)})


def _sound_part(
    path: Path, tables: Tables, faults: Faults, look: Callable[[Annotations], Result]
) -> tuple[Result | None, Tables]:
    """What `look` makes of a file without the records that are at fault, and what is left of it.

    None where the file itself is at fault.
    """
    counted: dict[str, Finding] = {}
    for _ in range(_MOST_ROUNDS):
        result, fault = _tried(look, path, tables)
        if not isinstance(fault, TableFault):
            break
        known = counted.get(fault.kind, Finding(0, f"{fault.first}{_name(fault, tables)}"))
        counted[fault.kind] = Finding(known.count + len(fault.rows), known.first)
        tables = _without(tables, fault)
    if (
        fault is not None
        and not isinstance(fault, TableFault)
        and not (counted and _is_emptied(tables))
    ):
        counted[str(fault).removeprefix(f"{path}: ")] = Finding(1, path.name)
    faults.refused |= counted
    return result, tables


def _name(fault: TableFault, tables: Tables) -> str:
    """The file of an image at fault, to go with its place; empty for records of other tables."""
    table = tables[fault.key]
    written = table.value("file_name", fault.rows[0]) if table is not None else None
    return f" {shown(written)}" if isinstance(written, str) else ""


def _is_emptied(tables: Tables) -> bool:
    """Whether nothing is left of a table: that it is empty then is no fault of the file."""
    return any(table is not None and not len(table) for table in tables.values())


def _tried(
    look: Callable[[Annotations], Result], path: Path, tables: Tables
) -> tuple[Result | None, UserError | None]:
    """What `look` makes of tables, or why it does not."""
    try:
        return look(annotations_of(path, tables)), None
    except UserError as fault:
        return None, fault


def _without(tables: Tables, fault: TableFault) -> Tables:
    """Without the records at fault, and without the annotations that refer to no other."""
    table, boxes = tables[fault.key], tables.get("annotations")
    assert table is not None  # it has a fault
    is_left = np.ones(len(table), bool)
    is_left[list(fault.rows)] = False
    left = table.take(np.flatnonzero(is_left))
    tables = {**tables, fault.key: left}
    field_name = {"images": "image_id", "categories": "category_id"}.get(fault.key)
    if field_name is None or boxes is None:
        return tables
    ids, are_known = table.known_integers("id")
    gone = np.setdiff1d(ids[~is_left & are_known], ids[is_left & are_known])
    references, are_known = boxes.known_integers(field_name)
    orphans = np.isin(references, gone) & are_known
    return {**tables, "annotations": boxes.take(np.flatnonzero(~orphans))}


# --- images ----------------------------------------------------------------------------------


def check_pictures(
    split: Split, images: Path, faults: Faults, progress: Callable[[int, int], None]
) -> set[str]:
    """Decode every image of a set; returns the names of the readable ones."""
    sound = set(split.file_names)
    pictures = FolderImages(images, split.file_names)
    for row, fault in image_faults(pictures, split, faults.noted, progress=progress):
        name = split.file_names[row]
        reason = str(fault).removeprefix(f"{images / name}: ").partition("; ")[0]
        if isinstance(fault, OtherSize):
            reason = "image of another size than its annotations say"
        else:
            sound.discard(name)
        faults.refuse(reason, name)
    return sound


def note_unlabelled(listed: Iterable[str], images: Path, faults: Faults) -> None:
    """Note the images of a folder that none of its sets lists, by their names in its files."""
    pictures = PictureFolder(images)
    faults.note(pictures.unlisted({name for name in map(pictures.find, listed) if name}))


def note_copies(digests: dict[str, str], faults: Faults) -> None:
    """Note the images of a set, by name with their sha256, that are copies of another."""
    seen: dict[str, str] = {}
    again = [name for name, digest in digests.items() if seen.setdefault(digest, name) != name]
    if again:
        first = f"{again[0]} is {seen[digests[again[0]]]}"
        faults.note({"image with the content of another": Finding(len(again), first)})


def shared_pictures(training: dict[str, str], evaluation: dict[str, str]) -> Finding | None:
    """The evaluation images that are copies of training images; None if there are none."""
    known = {digest: name for name, digest in training.items()}
    shared = [(name, known[digest]) for name, digest in evaluation.items() if digest in known]
    if not shared:
        return None
    name, trained = shared[0]
    return Finding(len(shared), f"{name} is {trained}")
