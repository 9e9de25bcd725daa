"""Number of times that an epoch shows each image.

Once, more often for rare names, or so that all datasets have the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unidet.records import Split

Repeats = Callable[[Sequence[Split], Sequence[np.ndarray]], list[np.ndarray]]
"""Datasets and their training rows (K,) -> factors (K,) float64 per dataset.

The integer part of a factor is the number of repeats. The fractional parts are summed, and so many
further images are drawn in each epoch.
"""


def once(splits: Sequence[Split], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Each image of all datasets once (official)."""
    return [np.ones(len(own)) for own in rows]


def balanced(splits: Sequence[Split], rows: Sequence[np.ndarray]) -> list[np.ndarray]:
    """As many images of every dataset as the largest has."""
    largest = max(map(len, rows))
    return [np.full(len(own), largest / max(len(own), 1)) for own in rows]


def by_rarity(
    splits: Sequence[Split], rows: Sequence[np.ndarray], *, threshold: float
) -> list[np.ndarray]:
    """Repeat factors, in each dataset by itself (Gupta et al. 2019, LVIS, appendix B; rounded up
    as in mmdet 2.18 datasets/dataset_wrappers.py ClassBalancedDataset).

    A category in the fraction f of the images has the factor max(1, sqrt(threshold / f)), an image
    the largest of its categories'.
    """
    return [
        np.ceil(_factors(split, own, threshold)) for split, own in zip(splits, rows, strict=True)
    ]


def _factors(split: Split, rows: np.ndarray, threshold: float) -> np.ndarray:
    """(K,) the largest factor of the categories that label each of some images."""
    places = np.full(len(split), -1)
    places[rows] = np.arange(len(rows))
    images = places[split.box_image]
    pairs = np.unique(np.stack([images, split.labels], axis=1)[images >= 0], axis=0)
    counts = np.bincount(pairs[:, 1], minlength=len(split.categories))
    frequencies = np.maximum(counts, 1) / max(len(rows), 1)
    of_category = np.maximum(1.0, np.sqrt(threshold / frequencies))
    factors = np.ones(len(rows))
    np.maximum.at(factors, pairs[:, 0], of_category[pairs[:, 1]])
    return factors
