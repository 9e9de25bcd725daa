"""ReLU by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np
from numpy.testing import assert_array_equal

from unidet.ops.activation import relu


def test_values_and_gradient() -> None:
    x, shift = jt.array(np.array([-2, 0, 3, 1], np.float32)), jt.ones((4,))
    y = relu(x + shift * -1)
    assert_array_equal(y.numpy(), [0, 0, 2, 0])
    by_x, by_shift = jt.grad((y * jt.array([10.0, 20, 30, 40])).sum(), [x, shift])
    assert_array_equal(by_x.numpy(), [0, 0, 30, 0])
    assert_array_equal(by_shift.numpy(), [0, 0, -30, 0])


def test_nothing() -> None:
    assert relu(jt.zeros((0, 3))).shape == [0, 3]
