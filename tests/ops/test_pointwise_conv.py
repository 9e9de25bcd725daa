"""1x1 convolution against Jittor's own and by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.pointwise_conv import MOST_IMAGES, pointwise_conv

RNG = np.random.default_rng(0)


def test_by_hand() -> None:
    feats = jt.array(np.arange(4, dtype=np.float32).reshape(1, 2, 1, 2))  # channels (0 1), (2 3)
    weight = jt.array(np.array([[1, 10], [2, 0], [0, -1]], np.float32)[:, :, None, None])
    for grad in (True, False):
        with jt.enable_grad() if grad else jt.no_grad():
            ours = pointwise_conv(feats, weight).numpy()
        assert_array_equal(ours, [[[[20, 31]], [[0, 2]], [[-2, -3]]]])


@pytest.mark.parametrize("count", [1, 3, MOST_IMAGES + 1])
def test_inference_is_the_convolution(count: int) -> None:
    feats = jt.array(RNG.normal(size=(count, 5, 3, 4)).astype(np.float32))
    weight = jt.array(RNG.normal(size=(7, 5, 1, 1)).astype(np.float32))
    expected = jt.nn.conv2d(feats, weight).numpy()
    with jt.no_grad():
        ours = pointwise_conv(feats, weight).numpy()
    assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_channels_must_fit() -> None:
    with pytest.raises(ValueError, match=r"not \[1,2,3,3,?\] and \[4,3,1,1,?\]"):
        pointwise_conv(jt.zeros((1, 2, 3, 3)), jt.zeros((4, 3, 1, 1)))
