"""Controls of zero-shot evaluation: AP with names that mean something else, or nothing.

A result above both is owed to what the text embeddings say, and not to well-placed boxes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from unidet.evaluation.detections import TextClassifier

SHUFFLES = 5  # a single shuffle may swap names that look alike


def text_controls(
    text: TextClassifier, average_precision: Callable[[TextClassifier], float]
) -> dict[str, float]:
    """`AP_shuffled_text`, the mean over derangements 0 to 4, and `AP_equal_text`, at chance.

    Args:
        text: the classifier of the vocabulary that is evaluated.
        average_precision: detects with a classifier and evaluates the detections.
    """
    shuffled = [average_precision(shuffled_text(text, seed)) for seed in range(SHUFFLES)]
    return {
        "AP_shuffled_text": sum(shuffled) / SHUFFLES,
        "AP_equal_text": average_precision(equal_text(text)),
    }


def shuffled_text(text: TextClassifier, seed: int) -> TextClassifier:
    """Every name carries some other name's embedding; a single name keeps its own."""
    order = derangement(len(text.text_embeddings), np.random.default_rng(seed))
    return replace(text, text_embeddings=text.text_embeddings[order])


def equal_text(text: TextClassifier) -> TextClassifier:
    """Every name carries the same embedding (zeros), so a region scores alike under all of them."""
    return replace(text, text_embeddings=np.zeros_like(text.text_embeddings))


def derangement(count: int, rng: np.random.Generator) -> np.ndarray:
    """(count,) a random permutation that leaves nothing in its place; count 1 has none."""
    while True:
        order = rng.permutation(count)
        if count < 2 or not (order == np.arange(count)).any():
            return order
