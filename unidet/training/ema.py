"""Exponential moving average (EMA) of a model's weights."""

from __future__ import annotations

import math

import jittor as jt
import numpy as np
from jittor import nn


class WeightEMA:
    """EMA of every entry of the state dict, batch-norm statistics included.

    At update n (from 1) the decay is `decay` * (1 - exp(-(n + offset) / warmup)), so that early
    weights are soon forgotten. RT-DETR counts from n (src/optim/ema.py), NanoDet-Plus from n + 1
    (model/weight_averager/ema.py).
    """

    def __init__(self, model: nn.Module, decay: float, warmup: int, offset: int = 0) -> None:
        self._decay = decay
        self._warmup = warmup
        self._offset = offset
        self._source = model.state_dict()
        self._ema = {name: var.clone().stop_grad() for name, var in self._source.items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` (0-based)."""
        decay = self._decay * -math.expm1(-(step + 1 + self._offset) / self._warmup)
        for name, var in self._source.items():
            ema = self._ema[name]
            ema.update((ema * decay + var * (1 - decay)).stop_grad())

    def state(self) -> dict[str, np.ndarray]:
        return {name: var.numpy() for name, var in self._ema.items()}

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        for name, var in self._ema.items():
            var.update(jt.array(arrays[name]).stop_grad())
