"""What a `clip_embeddings` and a `roi` artefact hold for those who score regions by names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unidet.errors import Malformed, UserError
from unidet.pipelines.wiring.image_sets import ImageSet

if TYPE_CHECKING:
    import numpy as np

CLASSIFIER = "classifier.json"
"""In a `roi` artefact: what the classifier has learned besides the region embeddings."""
EMBEDDINGS = "embeddings.npz"
"""In a `clip_embeddings` artefact: `embeddings` (C, D) and their `names`."""


def read_stored(path: Path) -> tuple[np.ndarray, list[str]]:
    """(C, D) float32 and the C names of a file that a stage has left.

    Raises:
        Malformed: it holds no such arrays.
    """
    from unidet.formats.embeddings import read_named_embeddings

    try:
        return read_named_embeddings(path)
    except UserError as error:
        raise Malformed(str(error)) from None


def read_embeddings(folder: Path, data: ImageSet) -> np.ndarray:
    """(C, D) float32 of a `clip_embeddings` artefact, for the categories of a set in their order.

    Raises:
        UserError: they are of other names.
    """
    vectors, names = read_stored(folder / EMBEDDINGS)
    if names != [category.name for category in data.split.categories]:
        raise UserError(
            f"{data.name}: its {len(data.split.categories)} categories are not the {len(names)} "
            "names of its vocabulary; give the set another vocabulary"
        )
    return vectors
