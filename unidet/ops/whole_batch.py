"""What a network needs to know of a batch that it sees only a part of.

A batch can be worked on in parts of equally many images, one after another (gradient accumulation)
or by several processes. The update uses the mean of the parts' gradients; it is the update of the
whole batch if a loss that divides by a count divides by the mean of the parts' counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np


class Parts(Protocol):
    """The other parts of the batch at hand. Every part asks the same questions in one order."""

    def mean(self, count: float) -> float:
        """Mean over all parts of what each of them counts."""

    def union(self, flags: np.ndarray) -> np.ndarray:
        """Elementwise "any" over all parts, flags bool."""


class NoOthers:
    """The batch is in one piece."""

    def mean(self, count: float) -> float:
        return count

    def union(self, flags: np.ndarray) -> np.ndarray:
        return flags


_parts: Parts = NoOthers()


def mean_count(count: float) -> float:
    """What a loss divides by that divided by `count` in an undivided batch."""
    return _parts.mean(count)


def in_any_part(flags: np.ndarray) -> np.ndarray:
    """Flags (bool) that are set in this part or another."""
    return _parts.union(flags)


@contextmanager
def part_of(parts: Parts) -> Iterator[None]:
    """Meanwhile, networks see one of these parts."""
    global _parts
    before, _parts = _parts, parts
    try:
        yield
    finally:
        _parts = before
