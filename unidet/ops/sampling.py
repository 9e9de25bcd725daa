"""Random sampling of the candidates that a loss is computed on, in numpy."""

from __future__ import annotations

from typing import Protocol, TypeVar

import numpy as np

from unidet.ops.iou_assignment import NEGATIVE


class Shuffler(Protocol):
    """A source of permutations: np.random.Generator, or np.random.RandomState in recorded runs."""

    def permutation(self, x: int, /) -> np.ndarray:
        """The numbers 0 .. x-1 in random order."""


class BatchRandom:
    """Random generators of one batch: one for each image and one for the whole batch.

    The random numbers of an image depend neither on other images nor on how the batch is divided
    into parts.

    Args:
        seed: numbers that identify the batch.
        first: position in the whole batch of the first image of this part.
    """

    def __init__(self, *seed: int, first: int = 0) -> None:
        self.shared = np.random.default_rng(seed)
        self._seed, self._first = seed, first
        self._images: dict[int, np.random.Generator] = {}

    def image(self, row: int) -> np.random.Generator:
        """The generator of the image at `row` of this part; repeated calls return the same one."""
        if row not in self._images:
            position = self._first + row
            self._images[row] = np.random.default_rng((*self._seed, 1 + position))
        return self._images[row]


RandomSource = BatchRandom | Shuffler
"""Source of a network's random numbers: generators per image, or one for all (recorded runs)."""


Plain = TypeVar("Plain", bound=Shuffler)


def image_rng(rng: BatchRandom | Plain, row: int) -> np.random.Generator | Plain:
    """The source of random numbers for the image at `row`."""
    return rng.image(row) if isinstance(rng, BatchRandom) else rng


def batch_rng(rng: BatchRandom | Plain) -> np.random.Generator | Plain:
    """The source of random numbers that concern the whole batch."""
    return rng.shared if isinstance(rng, BatchRandom) else rng


def sample_random(
    assigned: np.ndarray, count: int, positive_fraction: float, rng: Shuffler
) -> tuple[np.ndarray, np.ndarray]:
    """Sample at most `count` candidates: indices of positives and of negatives, each ascending.

    At most int(count * positive_fraction) are positives; negatives fill the rest, as far as there
    are enough. `assigned` is the result of `match_by_max_iou`. `rng` is used only where there are
    more candidates than needed. Same as mmdet RandomSampler with neg_pos_ub -1.
    """
    positives = _choose(np.flatnonzero(assigned >= 0), int(count * positive_fraction), rng)
    negatives = _choose(np.flatnonzero(assigned == NEGATIVE), count - len(positives), rng)
    return positives, negatives


def _choose(candidates: np.ndarray, count: int, rng: Shuffler) -> np.ndarray:
    if len(candidates) <= count:
        return candidates
    return np.sort(candidates[rng.permutation(len(candidates))[:count]])
