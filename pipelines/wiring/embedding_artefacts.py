"""Embeddings and logit settings in `clip_embeddings` and `roi` artefacts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.errors import Malformed, UserError
from unidet.pipelines.wiring.image_sets import ImageSet
from unidet.store.stored_json import number, read_json

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


def read_classifier(folder: Path) -> dict[str, float]:
    """`scale` and `bias` of the logits, from the artefact of a RoI network or of its regions.

    Raises:
        Malformed: the file holds anything else.
    """
    return read_json(folder / CLASSIFIER, _scale_and_bias)


def _scale_and_bias(values: dict[str, Any]) -> dict[str, float]:
    settings = {name: number(values[name]) for name in ("scale", "bias")}
    if not all(map(math.isfinite, settings.values())):
        raise ValueError(f"{settings} is not finite")
    return settings


def read_embeddings(folder: Path, data: ImageSet, length: int | None) -> np.ndarray:
    """(C, D) float32 of a `clip_embeddings` artefact, for the categories of a set in their order.

    Args:
        length: D of the regions; None where there is none.

    Raises:
        UserError: they are of other names, or of another length.
    """
    vectors, names = read_stored(folder / EMBEDDINGS)
    if names != [category.name for category in data.split.categories]:
        raise UserError(
            f"{data.name}: its {len(data.split.categories)} categories are not the {len(names)} "
            "names of its vocabulary; give the set another vocabulary"
        )
    if length not in (None, vectors.shape[1]):
        raise UserError(
            f"{folder / EMBEDDINGS}: embeddings of {vectors.shape[1]} dimensions for the names of "
            f"{data.name}, where the regions' have {length}; embed the names with the CLIP that "
            "the network learns from (clip_embeddings)"
        )
    return vectors
