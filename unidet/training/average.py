"""Moving average of a model's weights."""

from __future__ import annotations

import jittor as jt
import numpy as np
from jittor import nn


class WeightAverage:
    """Exponential moving average of every entry of the state dict, batch-norm statistics included.

    The decay warms up as min(decay, (1 + t) / (10 + t)) so that early weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._source = model.state_dict()
        self._average = {name: var.clone().stop_grad() for name, var in self._source.items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` (0-based)."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, var in self._source.items():
            held = self._average[name]
            held.update((held * decay + var * (1 - decay)).stop_grad())

    def state(self) -> dict[str, np.ndarray]:
        return {name: var.numpy() for name, var in self._average.items()}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        for name, var in self._average.items():
            var.update(jt.array(arrays[name]).stop_grad())
