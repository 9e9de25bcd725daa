"""Whether two programs computed the same. Numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

Results = dict[str, np.ndarray]
DIFFERENT = 0.01
"""Largest share of values that may differ by more than what is close."""


def nothing() -> Results:
    return {}


class Work(NamedTuple):
    """What is timed, giving what is compared; and what to compare besides, after the first run."""

    run: Callable[[], Results]
    more: Callable[[], Results] = nothing


def norms(arrays: Mapping[str, np.ndarray]) -> Results:
    """Of every array, in the order of the names; one array."""
    ordered = [np.linalg.norm(arrays[name]) for name in sorted(arrays)]
    return {"norms of momenta": np.array(ordered, np.float32)}


def first_results(work: Work) -> Results:
    results = work.run()
    return results | work.more()


def check(found: Results, expected: Path, close: float) -> None:
    """Compare with a file of the other program's results; `close`: in units of a column's largest.

    Columns are sorted first: rows whose scores are nearly equal may change places.

    Raises:
        ValueError: too many values differ.
    """
    with np.load(expected) as others:
        for name in others.files:
            pair = [np.sort(np.atleast_1d(part[name]), axis=0) for part in (found, others)]
            if pair[0].shape != pair[1].shape:
                raise ValueError(f"{name}: shapes {pair[0].shape} and {pair[1].shape}")
            gaps = np.abs(pair[0] - pair[1]) / np.abs(pair[1]).max(axis=0)
            far = float((gaps > close).mean())
            if far > DIFFERENT:
                raise ValueError(f"{name}: {far:.1%} of the values differ, by {gaps.max():.2g}")
