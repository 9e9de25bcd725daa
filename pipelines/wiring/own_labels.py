"""What stages would refuse in own labels, looked for before a study of them is written."""

from __future__ import annotations

from pathlib import Path

from unidet.data.check import untrained
from unidet.data.images import require_readable
from unidet.data.own_data import OwnData
from unidet.data.pictures import PictureFolder
from unidet.data.readers import CROWD, PLACELESS, split_of
from unidet.formats.annotations import annotations_of, findings, sentences
from unidet.formats.findings import Finding, together
from unidet.formats.tables import tables_of
from unidet.pipelines.wiring.ready_embeddings import empty_note, order_note, read_ready, same_note


def check_labels(data: OwnData, place: Path, images: Path, embeddings: Path | None) -> list[str]:
    """Notes on boxes and images that are not trained on, on boxes that are all alike, and on the
    order of ready embeddings.

    Args:
        data: what was read at `place`; all its documents, one at least, have the same categories.
        images: the folder of the images.

    Raises:
        UserError: images that are missing, of another size or of a kind that is not read, a
            document of which no box is trained on, embeddings that do not fit.
    """
    pictures = PictureFolder(images)
    noted: dict[str, Finding] = {}
    for document in data.documents.values():
        read = annotations_of(place, tables_of(place, document))
        split, report = split_of(read, images, name=place.stem)
        skipped = {f"skipped: {reason}": finding for reason, finding in report.skipped.items()}
        alike = {remark: own for remark, own in report.noted.items() if remark.endswith(PLACELESS)}
        crowds = findings(read.boxes, {CROWD: read.is_crowd})
        noted = together(noted, skipped | alike | crowds | untrained(split, read))
        for name in split.file_names:
            require_readable(images / name)
        if data.format == "coco":  # other formats' sizes are the images'
            for name, (width, height) in zip(split.file_names, read.sizes.tolist(), strict=True):
                pictures.require_size(name, width, height)
    notes = sentences(noted)
    if embeddings is None:
        return notes
    classes = [entry.name for entry in sorted(read.classes, key=lambda entry: entry.id)]
    vectors = read_ready(embeddings, classes)
    note = order_note(embeddings, classes) or empty_note(embeddings, classes, vectors)
    note = note or same_note(embeddings, classes, vectors)
    return [*notes, note] if note else notes
