"""What a `clip_embeddings` and a `roi` artefact hold for those who score regions by names."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CLASSIFIER = "classifier.json"
"""In a `roi` artefact: what the classifier has learned besides the region embeddings."""
EMBEDDINGS = "embeddings.npz"
"""In a `clip_embeddings` artefact: `embeddings` (C, D) and their `names`."""


def read_embeddings(folder: Path) -> np.ndarray:
    """(C, D) float32 of a `clip_embeddings` artefact."""
    with np.load(folder / EMBEDDINGS) as arrays:
        return arrays["embeddings"]
