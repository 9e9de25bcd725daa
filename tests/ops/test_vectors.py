from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.ops.vectors import l2_normalize


def test_l2_normalize_keeps_zero_rows_and_finite_gradients() -> None:
    rows = jt.array(np.array([[0, 0], [3, 4]], np.float32))
    lengths = l2_normalize(rows, 1)
    np.testing.assert_allclose(lengths.numpy(), [[0, 0], [0.6, 0.8]], atol=1e-6)
    gradient = jt.grad(lengths[1:, :1].sum(), rows).numpy()
    np.testing.assert_allclose(gradient, [[0, 0], [0.128, -0.096]], atol=1e-6)
