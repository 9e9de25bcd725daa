"""Embeddings of names that fine-tuning has learned, in its artefact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.pipelines.wiring.embedding_artefacts import read_stored
from unidet.store.arrays import malformed, save_arrays

if TYPE_CHECKING:
    import numpy as np

LEARNED = "names.npz"
"""`embeddings` (C, D) float32 and their `names`."""


def save_learned_names(folder: Path, embeddings: Mapping[str, np.ndarray]) -> None:
    """Leave the (D,) embedding of each name."""
    import numpy as np

    arrays = {"embeddings": np.stack([*embeddings.values()]), "names": np.array([*embeddings])}
    save_arrays(folder / LEARNED, arrays)


def with_learned_names(
    embeddings_CD: np.ndarray, names: Sequence[str], folder: Path | None
) -> np.ndarray:
    """(C, D) with the rows of learned names replaced; `folder` None or without any: as they are."""
    import numpy as np

    if folder is None or not (folder / LEARNED).exists():
        return embeddings_CD
    vectors, known = read_stored(folder / LEARNED)
    if vectors.shape[1] != embeddings_CD.shape[1]:
        malformed(
            folder / LEARNED,
            f"{vectors.shape[1]} dimensions, where the names have {embeddings_CD.shape[1]}",
        )
    learned = dict(zip(known, vectors, strict=True))
    rows = [learned.get(name, row) for name, row in zip(names, embeddings_CD, strict=True)]
    return np.stack(rows).astype(np.float32)
