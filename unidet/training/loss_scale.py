"""Dynamic loss scaling for float16, whose smallest number is 6e-8: small gradients become 0 there.

The loss is multiplied before the backward pass and its gradients are divided afterwards, in
float32. Numbers are those of PyTorch's GradScaler.
"""

from __future__ import annotations

import math

import jittor as jt
import numpy as np

from unidet.errors import UserError

START, GROWTH, PATIENCE = 2.0**16, 2.0, 2000


class LossScale:
    """Doubles after PATIENCE good steps; halves, and the step is skipped, where one overflows."""

    def __init__(self) -> None:
        self.factor = START
        self._good_steps = 0

    def scaled(self, loss: jt.Var) -> jt.Var:
        return loss * self._as_tensor(self.factor)

    def unscale(self, gradients: list[jt.Var]) -> bool:
        """Divide the gradients; returns whether all are finite, so that an update may be made.

        Raises:
            UserError: they overflow without any scaling too.
        """
        inverse = self._as_tensor(1 / self.factor)
        squares = []
        for gradient in gradients:
            gradient.update((gradient * inverse).stop_grad())
            squares.append((gradient * gradient).sum().reshape((1,)))
        if math.isfinite(jt.concat(squares).sum().item()):
            self._good_steps += 1
            if self._good_steps == PATIENCE:
                self.factor, self._good_steps = self.factor * GROWTH, 0
            return True
        if self.factor <= 1:
            raise UserError(
                "training stopped: gradients overflow float16; use runtime.precision=bfloat16"
            )
        self.factor, self._good_steps = self.factor / GROWTH, 0
        return False

    def state(self) -> np.ndarray:
        """(2,) the factor and the good steps since it last changed."""
        return np.array([self.factor, self._good_steps], np.float32)

    def load(self, state: np.ndarray) -> None:
        """Restore what `state` returned."""
        self.factor, self._good_steps = float(state[0]), int(state[1])

    def _as_tensor(self, value: float) -> jt.Var:
        """Computed before use: a pending number would be compiled into kernels, anew each time."""
        number = jt.array([value]).stop_grad()
        jt.sync([number])
        return number
