"""Recorded proposals in the place of a network's own, for the stage that comes after them."""

from __future__ import annotations

import numpy as np

from unidet.pipelines.traces.inputs import Inputs
from unidet.weights.compare import tie_order


class GivenProposals:
    """A change for `seen`: of one image those under `name` (P, 5), where the inputs hold them."""

    def __init__(self, inputs: Inputs, name: str, images: int) -> None:
        self._given = [inputs.take(name, "P", 5)] if images == 1 and name in inputs else None
        self._own: list[np.ndarray] = []

    def __call__(self, own: list[np.ndarray]) -> list[np.ndarray]:
        """Keeps the network's own; returns the given ones, or those where there are none."""
        self._own = own
        return own if self._given is None else self._given

    def like(self, image: int, rows: np.ndarray) -> np.ndarray:
        """The image's own, those of equal score in the order of `rows`."""
        own = self._own[image]
        return own[tie_order(own, rows)] if own.shape == rows.shape else own
