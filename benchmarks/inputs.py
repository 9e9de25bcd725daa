"""Inputs of both programs: noise images with boxes, and weights by name. Needs only numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from speed import FULL, QUICK

OBJECTS = np.array([[40, 60, 400, 500], [500, 300, 900, 700], [100, 600, 180, 760]], np.float32)
LABELS = np.array([3, 17, 30], np.int32)
VOCABULARIES = (80, 365)
"""Number of category names of each dataset that stage 2 is trained on."""
NAMES = 1230
EMBEDDING = 1024


class Noise(NamedTuple):
    """Images (N, 3, H, W) with the same objects (G, 4) and proposals (P, 5), xyxy and score."""

    images_NCHW: np.ndarray
    objects_G4: np.ndarray
    proposals_P5: np.ndarray


def noise(images: int, quick: bool = False) -> Noise:
    """`images` noise images with three objects and 2,300 proposals each."""
    rng = np.random.default_rng(0)
    height, width = QUICK if quick else FULL
    objects = OBJECTS * (np.float32(height) / FULL[0])
    corners = rng.uniform(0, [width - 64, height - 64], (2000, 2))
    sides = rng.uniform(16, 64, (2000, 2))
    near = np.repeat(objects, 100, axis=0) + rng.normal(0, 12, (300, 4))
    boxes = np.concatenate([near, np.concatenate([corners, corners + sides], axis=1)])
    boxes = np.clip(boxes, 0, [width, height] * 2)
    scores = rng.uniform(0, 1, (len(boxes), 1))
    return Noise(
        rng.standard_normal((images, 3, height, width), np.float32),
        objects,
        np.concatenate([boxes, scores], axis=1).astype(np.float32),
    )


def square(side: int) -> np.ndarray:
    """One noise image (1, 3, side, side)."""
    return np.random.default_rng(0).standard_normal((1, 3, side, side), np.float32)


def embeddings(counts: Sequence[int]) -> list[np.ndarray]:
    """Random text embeddings (count, EMBEDDING) of each vocabulary."""
    rng = np.random.default_rng(2)
    return [rng.standard_normal((count, EMBEDDING)) for count in counts]


def weights(shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, np.ndarray]]:
    """Random weights and biases by name, from one seed; other parameters keep their values.

    Weights have He's normal initialization, scaled by 0.2 in the last convolution of a residual
    block. The bias of OLN's box regression is 0.5, so that boxes have about the size of their
    anchors, as in a trained network.
    """
    rng = np.random.default_rng(1)
    for name, shape in sorted(shapes.items()):
        if len(shape) > 1:
            spread = np.sqrt(2 / np.prod(shape[1:]))
            spread *= 0.2 if name.endswith("conv3.weight") else 1.0
        elif name.endswith("bias"):
            spread = 0.01
        else:
            continue
        middle = 0.5 if name.endswith("rpn_reg.bias") else 0.0
        yield name, (middle + rng.standard_normal(tuple(shape)) * spread).astype(np.float32)
