"""Starting weights, batches and noise of the recorded loss curves; numpy only, for both sides.

Weights are what the official networks start from, give or take: where officially everything starts
at zero (the boxes' last layers, the sampling offsets) there is a little noise, because otherwise
every sampling point lies on the border of two cells, where the gradient jumps.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

STEPS = 20
HEIGHT, WIDTHS = 128, (128, 96)
"""Pixels of a batch's two images; DETR sees the second one padded."""
BATCHES = 3
RATES = {"rtdetr_r18vd": 3e-6, "detr_r50": 2e-5}
"""Learning rates; a tenth of each in the backbone.

Officially both are 1e-4, at which rounding decides too much: the official code itself, started from
weights that differ by 1e-7, is off by 0.4 % in single losses of DETR's twenty steps, and in
RT-DETR's, at 1e-5, by 4 % of the sum after thirteen, when one box is matched elsewhere.
"""
CLASSES = {"rtdetr_r18vd": 80, "detr_r50": 91}
HEADS, LEVELS, POINTS = 8, 3, 4
FROZEN_BRANCH = 0.3
"""Weight of the frozen norm behind each of DETR's residual branches: no norm learns there."""


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Of the official parameter or statistic `name`."""
    rng = np.random.RandomState(zlib.crc32(name.encode()))
    return _value(name, shape, rng.standard_normal(shape)).astype(np.float32)


def _value(name: str, shape: tuple[int, ...], noise: np.ndarray) -> np.ndarray:
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("running_mean", "running_var"):
        return np.full(shape, leaf == "running_var")
    if name.endswith("sampling_offsets.bias"):
        return _directions() + 0.25 * noise
    if leaf in ("bias", "in_proj_bias"):
        return (-math.log(99) if "score_head" in name else 0.0) + 0.02 * noise
    if len(shape) == 1:
        return np.full(shape, FROZEN_BRANCH if "bn3" in name else 1.0)
    if name == "query_embed.weight":
        return noise
    if name.endswith("denoising_class_embed.weight"):
        return np.concatenate([noise[:-1], 0 * noise[-1:]])
    if "sampling_offsets" in name or "attention_weights" in name:
        return 0.01 * noise
    small = 0.1 if "bbox" in name and ".layers.2." in name else 1.0
    if len(shape) == 4:
        return math.sqrt(2 / math.prod(shape[1:])) * noise
    return small * math.sqrt(2 / sum(shape)) * noise


def _directions() -> np.ndarray:
    """Head k looks in direction 2 pi k / 8, point p at p + 1 steps."""
    angles = np.arange(HEADS) * 2 * math.pi / HEADS
    towards = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    towards /= np.abs(towards).max(axis=-1, keepdims=True)
    steps = np.arange(1, POINTS + 1)[:, None]
    return np.tile(towards[:, None, None] * steps, (1, LEVELS, 1, 1)).ravel()


def batch(step: int, model: str) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """Images (2, 3, H, W), for each its boxes (G, 4), xyxy in pixels, and labels (G,).

    Three batches in turn. RT-DETR's images are in 0..1 and of one size; DETR's are normalized, and
    the second one ends in zeros.
    """
    rng = np.random.RandomState(20 + step % BATCHES)
    images = rng.random_sample((2, 3, HEIGHT, max(WIDTHS))).astype(np.float32)
    widths = WIDTHS if model == "detr_r50" else (max(WIDTHS),) * 2
    if model == "detr_r50":
        images = 3 * images - np.float32(1.5)
        images[1, :, :, widths[1] :] = 0
    boxes, labels = [], []
    for width in widths:
        count = rng.randint(1, 4)
        corners = rng.randint(0, 48, (count, 2))
        sides = rng.randint(16, np.array([width, HEIGHT]) - 48, (count, 2))
        boxes.append(np.concatenate([corners, corners + sides], axis=1).astype(np.float32))
        labels.append(rng.randint(1, CLASSES[model], count))
    return images, boxes, labels


def noise(step: int) -> np.random.Generator:
    """What a step's denoising draws from: probabilities, labels, signs, amounts, in this order."""
    return np.random.default_rng(step)
