"""Depthwise convolution: a row by hand; values and gradients as Jittor's grouped convolution."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from jittor import nn

from unidet.ops.depthwise_conv import depthwise_conv


def test_padding_before_and_after_may_differ() -> None:
    """Filter [[0, 0, 0], [1, 10, 100], [0, 0, 0]] at stride 2 over one row, hand-worked."""
    feats = jt.array(np.array([[[[1, 2, 3, 4]]]], np.float32))
    filters = np.zeros((1, 1, 3, 3), np.float32)
    filters[0, 0, 1] = [1, 10, 100]
    even = depthwise_conv(feats, jt.array(filters), 2, 1, 1)
    assert even.numpy().tolist() == [[[[210, 432]]]]
    # Nothing at the left and top, two cells behind: windows start at cells 0 and 2.
    late = depthwise_conv(jt.concat([feats * 0, feats], dim=2), jt.array(filters), 2, 0, 2)
    assert late.numpy()[0, 0, 0].tolist() == [321, 43]


@pytest.mark.parametrize(
    ("height", "width", "side", "stride"), [(6, 9, 3, 1), (7, 6, 3, 2), (5, 3, 5, 2), (1, 1, 5, 1)]
)
def test_equal_to_grouped_convolution(height: int, width: int, side: int, stride: int) -> None:
    rng = np.random.default_rng(0)
    feats = jt.array(rng.normal(size=(2, 4, height, width)).astype(np.float32))
    filters = jt.array(rng.normal(size=(4, 1, side, side)).astype(np.float32))
    ours = depthwise_conv(feats, filters, stride, side // 2, side // 2)
    theirs = nn.conv2d(feats, filters, stride=stride, padding=side // 2, groups=4)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), atol=1e-5)
    weights = jt.array(rng.normal(size=tuple(ours.shape)).astype(np.float32))
    gradients = jt.grad((ours * weights).sum(), [feats, filters])
    expected = jt.grad((theirs * weights).sum(), [feats, filters])
    for gradient, reference in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), reference.numpy(), atol=1e-4)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="depthwise_conv takes"):
        depthwise_conv(jt.ones((1, 3, 8, 8)), jt.ones((4, 1, 3, 3)), 1, 1, 1)
    with pytest.raises(ValueError, match="too small"):
        depthwise_conv(jt.ones((1, 4, 2, 2)), jt.ones((4, 1, 5, 5)), 1, 1, 1)
