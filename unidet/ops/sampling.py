"""Which matched candidates a loss is computed on. Numpy."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from unidet.ops.iou_assignment import NEGATIVE


class Shuffler(Protocol):
    """Source of permutations: np.random.Generator, or np.random.RandomState for recorded runs."""

    def permutation(self, x: int, /) -> np.ndarray:
        """The numbers 0 .. x-1 in random order."""


class BatchRandom:
    """Random numbers of one batch: a stream for each image, and one for what all share.

    An image's draws so depend on no other image, nor on how the batch is divided into parts.

    Args:
        seed: names the batch.
        first: position in the whole batch of the first image that is seen here.
    """

    def __init__(self, *seed: int, first: int = 0) -> None:
        self.shared = np.random.default_rng(seed)
        self._seed, self._first = seed, first
        self._images: dict[int, np.random.Generator] = {}

    def image(self, row: int) -> np.random.Generator:
        """The stream of the image at `row`, where it was left off."""
        if row not in self._images:
            position = self._first + row
            self._images[row] = np.random.default_rng((*self._seed, 1 + position))
        return self._images[row]


RandomSource = BatchRandom | Shuffler
"""What a network draws from: streams apart, or one for all images in turn (recorded runs)."""


Plain = TypeVar("Plain", bound=Shuffler)


def for_image(rng: BatchRandom | Plain, row: int) -> np.random.Generator | Plain:
    """What to draw from for the image at `row`."""
    return rng.image(row) if isinstance(rng, BatchRandom) else rng


def for_all(rng: BatchRandom | Plain) -> np.random.Generator | Plain:
    """What to draw from once for the whole batch."""
    return rng.shared if isinstance(rng, BatchRandom) else rng


def sample_random(
    assigned: np.ndarray, count: int, positive_fraction: float, rng: Shuffler
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of positives and negatives, each ascending, at most `count` together.

    At most int(count * positive_fraction) positives; negatives fill the rest as far as there are
    any. `assigned` is what `matching` returns. `rng` is asked only where there are too many.
    mmdet RandomSampler, neg_pos_ub -1.
    """
    positives = _choose(np.flatnonzero(assigned >= 0), int(count * positive_fraction), rng)
    negatives = _choose(np.flatnonzero(assigned == NEGATIVE), count - len(positives), rng)
    return positives, negatives


def _choose(candidates: np.ndarray, count: int, rng: Shuffler) -> np.ndarray:
    if len(candidates) <= count:
        return candidates
    return np.sort(candidates[rng.permutation(len(candidates))[:count]])
