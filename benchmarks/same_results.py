"""Checks whether two programs computed the same results. Needs only numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

Results = dict[str, np.ndarray]
DIFFERENT = 0.01
"""Largest share of values that may differ by more than the tolerance."""


def nothing() -> Results:
    return {}


class Work(NamedTuple):
    """Work of a benchmark.

    Attributes:
        run: the timed function; returns results for comparison.
        more: further results for comparison, called after the first run.
    """

    run: Callable[[], Results]
    more: Callable[[], Results] = nothing


def norms(arrays: Mapping[str, np.ndarray]) -> Results:
    """Norms of all arrays in the order of their names, as one array."""
    ordered = [np.linalg.norm(arrays[name]) for name in sorted(arrays)]
    return {"norms of momenta": np.array(ordered, np.float32)}


def first_results(work: Work) -> Results:
    results = work.run()
    return results | work.more()


def check(results: Results, expected: Path, tolerance: float) -> None:
    """Compare results with a file of the other program's results.

    Columns are sorted first, because rows with nearly equal scores may be in a different order.
    `tolerance` is relative to the largest value of a column.

    Raises:
        ValueError: too many values differ.
    """
    with np.load(expected) as others:
        for name in others.files:
            pair = [np.sort(np.atleast_1d(part[name]), axis=0) for part in (results, others)]
            if pair[0].shape != pair[1].shape:
                raise ValueError(f"{name}: shapes {pair[0].shape} and {pair[1].shape}")
            gaps = np.abs(pair[0] - pair[1]) / np.abs(pair[1]).max(axis=0)
            far = float((gaps > tolerance).mean())
            if far > DIFFERENT:
                raise ValueError(f"{name}: {far:.1%} of the values differ, by {gaps.max():.2g}")
