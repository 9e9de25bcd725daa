"""ReLU and SiLU by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.activation import relu, silu


def test_values_and_gradient() -> None:
    x, shift = jt.array(np.array([-2, 0, 3, 1], np.float32)), jt.ones((4,))
    y = relu(x + shift * -1)
    assert_array_equal(y.numpy(), [0, 0, 2, 0])
    by_x, by_shift = jt.grad((y * jt.array([10.0, 20, 30, 40])).sum(), [x, shift])
    assert_array_equal(by_x.numpy(), [0, 0, 30, 0])
    assert_array_equal(by_shift.numpy(), [0, 0, -30, 0])


def test_nothing() -> None:
    assert relu(jt.zeros((0, 3))).shape == [0, 3]


def test_silu() -> None:
    """At ln 3 the gate is 3/4; its slope 3/16."""
    x = jt.array(np.array([0, np.log(3)], np.float32))
    y = silu(x)
    assert_allclose(y.numpy(), [0, 0.75 * np.log(3)], rtol=1e-6)
    assert_allclose(jt.grad(y.sum(), x).numpy(), [0.5, 0.75 + np.log(3) * 3 / 16], rtol=1e-6)
