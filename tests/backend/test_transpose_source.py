"""The fused transpose that takes the place of cuTT's: right wherever the axes go."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from numpy.testing import assert_array_equal

from unidet.backend.runtime import bring_up


def test_fused_transposes_and_their_gradients() -> None:
    bring_up("cpu")
    import jittor as jt

    transpose = jt.core.ops.fuse_transpose
    values = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    for axes in permutations(range(3)):
        expected = np.transpose(values, axes)
        source = jt.array(values)
        assert_array_equal(transpose(source * 2, list(axes)).numpy(), expected * 2)
        product = (transpose(source, list(axes)) * jt.array(expected)).sum()
        assert_array_equal(jt.grad(product, source).numpy(), values)
