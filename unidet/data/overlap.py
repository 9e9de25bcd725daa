"""The overlap of label spaces, by names and by text embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from unidet.data.stats import shared_names
from unidet.records import Category


@dataclass(frozen=True)
class LabelSpace:
    """C categories, and the (C, D) text embeddings of their names where there are some."""

    categories: Sequence[Category]
    embeddings: np.ndarray | None = None


@dataclass(frozen=True)
class Overlap:
    """What of one label space another has.

    Attributes:
        shared: share of the names that the other has too.
        names: these names.
        nearest: of the other names each with its nearest in the other label space and the cosine of
            their embeddings, the nearest pair first; empty without embeddings of one length.
        cosine: mean over the names with an embedding of that to the nearest; None without any.
    """

    shared: float
    names: tuple[str, ...]
    nearest: tuple[tuple[str, str, float], ...] = ()
    cosine: float | None = None


def overlaps(spaces: Mapping[str, LabelSpace]) -> dict[tuple[str, str], Overlap]:
    """(One label space, another) -> what of the one the other has, for all ordered pairs."""
    return {pair: overlap(*(spaces[name] for name in pair)) for pair in permutations(spaces, 2)}


def overlap(some: LabelSpace, others: LabelSpace) -> Overlap:
    """What of one label space another has."""
    names = shared_names(some.categories, others.categories)
    shared = len(names) / max(len(some.categories), 1)
    if (
        some.embeddings is None
        or others.embeddings is None
        or some.embeddings.shape[1:] != others.embeddings.shape[1:]
    ):
        return Overlap(shared, tuple(names))
    has_text = some.embeddings.any(axis=1)  # a row of zeros stands for a name without embedding
    cosines = _normalized(some.embeddings) @ _normalized(others.embeddings).T
    nearest, best = cosines.argmax(axis=1), cosines.max(axis=1)
    known = {*names}
    pairs = [
        (some.categories[row].name, others.categories[nearest[row]].name, float(best[row]))
        for row in np.flatnonzero(has_text).tolist()
        if some.categories[row].name not in known
    ]
    pairs.sort(key=lambda pair: (-pair[2], pair[0]))
    mean = float(best[has_text].mean()) if has_text.any() else None
    return Overlap(shared, tuple(names), tuple(pairs), mean)


def _normalized(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
