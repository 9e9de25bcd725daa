"""Activations with cheap backward passes."""

from __future__ import annotations

import jittor as jt


class _Relu(jt.Function):
    """Its gradient needs the output only; Jittor's own walks through a select and its inputs."""

    def execute(self, x: jt.Var) -> jt.Var:
        self.output = jt.maximum(x, 0.0)
        return self.output

    def grad(self, grad: jt.Var) -> jt.Var:
        return grad * (self.output > 0)


def relu(x: jt.Var) -> jt.Var:
    """max(x, 0), any shape; gradient 0 at 0. `relu(a + b)` adds and clamps in one pass."""
    return _Relu.apply(x)


class _Silu(jt.Function):
    """Keeps its input only."""

    def execute(self, x: jt.Var) -> jt.Var:
        self.input = x
        return x * jt.sigmoid(x)

    def grad(self, grad: jt.Var) -> jt.Var:
        gate = jt.sigmoid(self.input)
        return grad * gate * (1 + self.input * (1 - gate))


def silu(x: jt.Var) -> jt.Var:
    """x * sigmoid(x), any shape."""
    return _Silu.apply(x)
