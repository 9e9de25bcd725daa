"""RT-DETR's contrastive denoising: additional queries, which are the ground truth with noise.

N images, M boxes of the fullest image, G groups, D = 2 M G queries: in each group M copies with
little noise (positives) and M with more (negatives). C classes. Boxes are cxcywh in units of the
image's sides. Source: RT-DETR src/zoo/rtdetr/denoising.py; Zhang et al., arXiv 2203.03605, 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unidet.models.matcher import Matches, Targets
from unidet.ops.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh

QUERIES = 100
"""Positives aimed at over all groups."""
LABEL_NOISE = 0.25
"""Probability of a random label; officially half of `label_noise_ratio` 0.5."""
BOX_NOISE = 1.0
LOGIT_FLOOR = 1e-5


@dataclass(frozen=True)
class Noise:
    """All random numbers: (N, D) probabilities and labels, (N, D, 4) signs 0 or 1 and amounts."""

    probabilities: np.ndarray
    labels: np.ndarray
    signs: np.ndarray
    amounts: np.ndarray

    @staticmethod
    def draw(rng: np.random.Generator, shape: tuple[int, int], classes: int) -> Noise:
        """For `shape` = (N, D)."""
        return Noise(
            rng.random(shape, np.float32),
            rng.integers(0, classes, shape),
            rng.integers(0, 2, (*shape, 4)),
            rng.random((*shape, 4), np.float32),
        )


@dataclass(frozen=True)
class DenoisingQueries:
    """What goes before the queries proper.

    Attributes:
        labels: (N, D) with noise, C for padding.
        references: (N, D, 4) logits of the boxes with noise.
        groups: G.
        matches: every positive with its box.
    """

    labels: np.ndarray
    references: np.ndarray
    groups: int
    matches: Matches

    def mask(self, queries: int) -> np.ndarray:
        """(D + Q, D + Q) bool, True where a row may not look at a column.

        Queries proper see no denoising query, which sees none of another group. Padding is seen, as
        officially.
        """
        count = self.labels.shape[1]
        blocked = np.zeros((count + queries,) * 2, bool)
        blocked[count:, :count] = True
        group = np.arange(count) // (count // self.groups)
        blocked[:count, :count] = group[:, None] != group[None, :]
        return blocked


def noise_shape(targets: Targets) -> tuple[int, int]:
    """(N, D); D = 0 where no image has a box."""
    fullest = max(len(labels) for labels in targets.labels)
    return len(targets.labels), 2 * fullest * groups_for(fullest)


def groups_for(fullest: int) -> int:
    """G for M boxes."""
    return max(QUERIES // fullest, 1) if fullest else 0


def denoising_queries(targets: Targets, classes: int, noise: Noise) -> DenoisingQueries:
    """The queries, with the noise of `noise`; at least one image must have a box."""
    counts = [len(labels) for labels in targets.labels]
    fullest = max(counts)
    groups = groups_for(fullest)
    labels = np.full((len(counts), fullest), classes)
    boxes = np.zeros((len(counts), fullest, 4), np.float32)
    for image, count in enumerate(counts):
        labels[image, :count] = targets.labels[image]
        boxes[image, :count] = targets.boxes[image]
    labels, boxes = np.tile(labels, (1, 2 * groups)), np.tile(boxes, (1, 2 * groups, 1))
    replaced = (noise.probabilities < LABEL_NOISE) & (labels < classes)
    negative = np.arange(labels.shape[1]) // fullest % 2
    amounts = noise.amounts + negative[None, :, None].astype(np.float32)
    return DenoisingQueries(
        labels=np.where(replaced, noise.labels, labels),
        references=box_logits(_moved(boxes, noise.signs, amounts)),
        groups=groups,
        matches=_matches(counts, fullest, groups),
    )


def _moved(boxes: np.ndarray, signs: np.ndarray, amounts: np.ndarray) -> np.ndarray:
    """Each side moved by up to its amount of half the box; negatives' sides may cross."""
    reach = np.tile(boxes[..., 2:] * np.float32(0.5 * BOX_NOISE), 2)
    moves = (signs * 2 - 1).astype(np.float32) * amounts * reach
    return xyxy_to_cxcywh(np.clip(cxcywh_to_xyxy(boxes) + moves, 0, 1))


def _matches(counts: list[int], fullest: int, groups: int) -> Matches:
    starts = np.arange(groups)[:, None] * 2 * fullest
    return Matches.of(
        [
            ((starts + np.arange(count)).ravel(), np.tile(np.arange(count), groups))
            for count in counts
        ]
    )


def box_logits(values: np.ndarray) -> np.ndarray:
    """log(x / (1 - x)), both at least 1e-5."""
    values = np.clip(values, 0, 1)
    low, high = np.maximum(values, LOGIT_FLOOR), np.maximum(1 - values, LOGIT_FLOOR)
    return np.log(low / high).astype(np.float32)
