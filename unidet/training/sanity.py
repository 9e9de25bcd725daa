"""Early checks that stop a training run which learns nothing.

Jittor's errors are often silent: a detached graph gives zero gradients, an empty target gives a
loss of exactly 0, NaN passes through kernels built with -Ofast.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from jittor import nn

from unidet.errors import UserError
from unidet.training.optimizer import trainable

SETTLED = 20  # by this step every weight must have moved
PATIENCE = 50  # steps without a positive sample


class Sanity:
    """Watches a run from its first step; raises UserError if something is wrong."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._start = {
            name: var.numpy().copy() for name, var in trainable(model).items() if var.ndim >= 2
        }
        self._without_positive = 0

    def check(self, step: int, values: Mapping[str, float]) -> None:
        """`values` are this step's losses and counts; `step` is 0-based."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(
                    f"training stopped at step {step}: it has diverged, {name} is {value}; "
                    "lower the learning rate or check the targets"
                )
        if values["loss"] == 0.0:
            raise UserError(
                f"training stopped at step {step}: the loss is exactly 0, nothing can be learned; "
                "check that the images have boxes and the labels fit the vocabulary"
            )
        self._check_positives(step, values)
        if step == SETTLED:
            self._check_movement()

    def check_weights(self, step: int, weights: Mapping[str, np.ndarray]) -> None:
        """Check the final weights: the last update comes after the last loss, and kernels built
        with -Ofast may turn NaN into 0.
        """
        bad = [name for name, array in weights.items() if not np.isfinite(array).all()]
        if bad:
            raise UserError(
                f"training stopped at step {step}: {len(bad)} weights are not finite, first "
                f"{bad[0]}; lower the learning rate"
            )

    def _check_positives(self, step: int, values: Mapping[str, float]) -> None:
        if "positives" not in values:
            return
        self._without_positive = self._without_positive + 1 if values["positives"] == 0 else 0
        if self._without_positive >= PATIENCE:
            raise UserError(
                f"training stopped at step {step}: no positive sample in {PATIENCE} steps; "
                "check the boxes, the proposals and the matching thresholds"
            )

    def _check_movement(self) -> None:
        current = trainable(self._model)
        still = [
            name
            for name, before in self._start.items()
            if np.array_equal(before, current[name].numpy())
        ]
        self._start.clear()
        if still:
            raise UserError(
                f"training stopped at step {SETTLED}: {len(still)} weights have not moved, "
                f"first {still[0]}; they receive no gradient"
            )
