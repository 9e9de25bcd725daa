"""Activations with cheap backward passes, and the sigmoid of arrays."""

from __future__ import annotations

import jittor as jt
import numpy as np

_LEAST_LOGIT = np.float32(-80)  # exp of more overflows


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Of an array, any shape, float32."""
    return 1 / (1 + np.exp(-np.maximum(logits, _LEAST_LOGIT)))


class _Relu(jt.Function):
    """ReLU whose gradient needs only the output.

    Jittor's own ReLU also keeps the inputs of a select operation and reads them in the backward
    pass.
    """

    def execute(self, x: jt.Var) -> jt.Var:
        self.output = jt.maximum(x, 0.0)
        return self.output

    def grad(self, grad: jt.Var) -> jt.Var:
        return grad * (self.output > 0)


def relu(x: jt.Var) -> jt.Var:
    """max(x, 0) of any shape, with gradient 0 at 0. Jittor fuses `relu(a + b)` into one pass."""
    return _Relu.apply(x)


class _Silu(jt.Function):
    """SiLU that keeps only its input for the backward pass."""

    def execute(self, x: jt.Var) -> jt.Var:
        self.input = x
        return x * jt.sigmoid(x)

    def grad(self, grad: jt.Var) -> jt.Var:
        gate = jt.sigmoid(self.input)
        return grad * gate * (1 + self.input * (1 - gate))


def silu(x: jt.Var) -> jt.Var:
    """x * sigmoid(x) of any shape."""
    return _Silu.apply(x)
