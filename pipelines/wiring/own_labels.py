"""What stages would refuse in own labels, looked for before a study of them is written."""

from __future__ import annotations

from pathlib import Path

from unidet.data.image_files import image_names
from unidet.data.images import require_eight_bits
from unidet.data.own_data import OwnData
from unidet.data.pictures import PictureFolder
from unidet.formats.annotations import annotations_of
from unidet.formats.tables import tables_of
from unidet.pipelines.wiring.ready_embeddings import empty_note, order_note, read_ready


def check_labels(data: OwnData, place: Path, images: Path, embeddings: Path | None) -> str:
    """What is to be said of the order of ready embeddings; empty where nothing is.

    Args:
        data: what was read at `place`; all its documents, one at least, have the same categories.
        images: the folder of the images.

    Raises:
        UserError: images that are missing, of another size or of more than 8 bits a channel,
            embeddings that do not fit.
    """
    pictures = PictureFolder(images)
    for document in data.documents.values():
        read = annotations_of(place, tables_of(place, document))
        names, _ = image_names(read.images, images)
        for name in names:
            require_eight_bits(images / name)
        if data.format == "coco":  # other formats' sizes are the images'
            for name, (width, height) in zip(names, read.sizes.tolist(), strict=True):
                pictures.require_size(name, width, height)
    if embeddings is None:
        return ""
    classes = [entry.name for entry in sorted(read.classes, key=lambda entry: entry.id)]
    vectors = read_ready(embeddings, classes)
    return order_note(embeddings, classes) or empty_note(embeddings, classes, vectors)
