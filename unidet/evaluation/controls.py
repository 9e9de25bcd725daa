"""Controls of zero-shot evaluation: AP with shuffled or identical text embeddings.

A result above both is due to the text embeddings, not only to well-placed boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHUFFLES = 5  # a single shuffle may swap names that look alike


def carried_by_controls(count: int) -> list[np.ndarray]:
    """For each control the row of the embedding that each of `count` categories gets.

    Derangements 0 to 4 give every category another one's embedding (a single category keeps its
    own); the last gives all of them zeros (-1), so that a region has the same score for every
    category.
    """
    shuffled = [derangement(count, np.random.default_rng(seed)) for seed in range(SHUFFLES)]
    return [*shuffled, np.full(count, -1)]


def control_metrics(average_precisions: Sequence[float]) -> dict[str, float]:
    """`AP_shuffled_text`, the mean over the derangements, and `AP_equal_text`, at chance.

    Args:
        average_precisions: of each of `carried_by_controls`.
    """
    *shuffled, equal = average_precisions
    return {"AP_shuffled_text": sum(shuffled) / len(shuffled), "AP_equal_text": equal}


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) a random permutation that leaves nothing in its place; count 1 has none."""
    while True:
        order = rng.permutation(count)
        if count < 2 or not (order == np.arange(count)).any():
            return order
