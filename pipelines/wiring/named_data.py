"""The datasets that `unidet data` is about: a study's, or images and labels in folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from unidet.config.data import TrainingSet
from unidet.config.study import Config
from unidet.data.own_data import coco_document, filled, part_of_file, read_own
from unidet.data.pictures import PictureFolder
from unidet.errors import UserError
from unidet.formats.findings import Finding
from unidet.formats.labels.recognize import recognize
from unidet.formats.labels.records import TRAIN, VAL, Refuse
from unidet.formats.tables import Tables, read_tables, tables_of
from unidet.pipelines.wiring.study_sets import TRAINING, all_sets

Note = Callable[[dict[str, Finding]], object]
Role = Literal["training", "evaluation", ""]
OWN = "own"
"""The vocabulary of labels that no study has named yet."""
_ROLES: dict[str, Role] = {TRAIN: "training", VAL: "evaluation"}


@dataclass(frozen=True)
class NamedData:
    """One set.

    Attributes:
        name: as the study has it, or the part of the data.
        file: what messages call its labels.
        images: folder of the images.
        vocabulary: sets of one have the same names.
        role: what it is for; empty where nothing says so.
        read: its tables as COCO has them, unchecked; of labels that are no study's yet with what
            `unidet new` would fill in.
        is_converted: from another format, whose reader has noted the images without labels.
    """

    name: str
    file: Path
    images: Path
    vocabulary: str
    role: Role
    read: Callable[[], Tables]
    is_converted: bool = False


def sets_of_study(config: Config) -> Iterator[NamedData]:
    """Those in folders; UserError where there are none."""
    root = Path(config.data.root)
    sets = {k: v for k, v in all_sets(config).items() if isinstance(v, TrainingSet)}
    if not sets:
        raise UserError(
            "data: this study has no set in folders; name one by -C DIR, experiment=… data.root=…, "
            "or --images FOLDER --annotations PLACE"
        )
    for name, entry in sets.items():
        file, images = root / entry.annotations, root / entry.images
        role: Role = "training" if name.startswith(TRAINING) else "evaluation"
        yield NamedData(name, file, images, entry.vocabulary, role, partial(read_tables, file))


def sets_in_folder(
    annotations: Path, images: Path, as_format: str, refuse: Refuse, note: Note
) -> Iterator[NamedData]:
    """The parts of labels of any format; of others than COCO's, what is wrong with records goes to
    `refuse`, what is read otherwise than written to `note`."""
    source = recognize(annotations, as_format)
    if source.format == "coco":
        pictures = PictureFolder(images)
        for file in source.places:
            part, read = part_of_file(file, source), partial(_filled, file, pictures, note)
            yield NamedData(part or file.stem, file, images, OWN, _ROLES.get(part, ""), read)
        return
    data = read_own(annotations, images, as_format, refuse)
    note(data.findings)
    for part, document in data.documents.items():
        name, role = part or annotations.resolve().name, _ROLES.get(part, "")
        tables = partial(tables_of, annotations, document)
        yield NamedData(name, annotations, images, OWN, role, tables, is_converted=True)


def _filled(file: Path, pictures: PictureFolder, note: Note) -> Tables:
    document, notes = coco_document(file, pictures)
    note(notes)
    return tables_of(file, filled(document, pictures))
