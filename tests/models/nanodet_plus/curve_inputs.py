"""Starting weights and batches of the recorded loss curve; numpy only, for both sides."""

from __future__ import annotations

import zlib

import numpy as np

STEPS = 20
SIDE = 160
IMAGES = 2
RATE, DECAY, CLIP = 2e-4, 0.05, 35.0
"""A fifth of the official rate, at which the official code itself, started from weights that
differ by 1e-7, is off by 2 % in single losses after 17 steps: an assignment flips."""
WARMUP_STEPS, WARMUP_RATIO = 500, 1e-4


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Of the official parameter or statistic `name`."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("running_mean", "running_var", "scale"):
        return np.full(shape, leaf != "running_mean", np.float32)
    if leaf == "bias":
        base = -4.595 if "gfl_cls" in name else 0.0
        return (base + 0.05 * rng.standard_normal(shape)).astype(np.float32)
    if len(shape) == 1:
        return (0.8 + 0.4 * rng.random_sample(shape)).astype(np.float32)
    spread = np.sqrt(2 / np.prod(shape[1:]))
    return (spread * rng.standard_normal(shape)).astype(np.float32)


def batch(step: int) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Images (IMAGES, 3, SIDE, SIDE) of noise, boxes (G, 4) and labels (G,) of each.

    Four batches in turn.
    """
    rng = np.random.RandomState(step % 4)
    images = rng.standard_normal((IMAGES, 3, SIDE, SIDE)).astype(np.float32)
    boxes, labels = [], []
    for _ in range(IMAGES):
        count = rng.randint(1, 5)
        corners = rng.random_sample((count, 2)) * 90
        sides = 20 + rng.random_sample((count, 2)) * 50
        boxes.append(np.concatenate([corners, corners + sides], axis=1).astype(np.float32))
        labels.append(rng.randint(0, 80, count))
    return images, boxes, labels
