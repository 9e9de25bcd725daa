"""The network's output for an image, the input of the evaluation.

R regions, D embedding dimensions. Everything that follows (vocabulary, calibration, suppression)
needs no network.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Regions:
    """The R regions of one image.

    Attributes:
        image_id: the dataset's own id.
        boxes_xyxy: (R, 4) float32, refined, clipped, original pixels.
        proposal_scores: (R,) float32 in [0, 1], class-agnostic.
        embeddings: (R, D) float16 or float32 of unit length.
    """

    image_id: int
    boxes_xyxy: np.ndarray
    proposal_scores: np.ndarray
    embeddings: np.ndarray
