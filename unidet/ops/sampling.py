"""Which matched candidates a loss is computed on. Numpy."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unidet.ops.matching import NEGATIVE


class Shuffler(Protocol):
    """Source of permutations: np.random.Generator, or np.random.RandomState for recorded runs."""

    def permutation(self, x: int, /) -> np.ndarray:
        """The numbers 0 .. x-1 in random order."""


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
