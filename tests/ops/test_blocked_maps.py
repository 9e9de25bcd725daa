"""Blocked maps against Jittor's own operations on plain ones, results and gradients."""

from __future__ import annotations

from collections.abc import Callable

import jittor as jt
import numpy as np
import pytest
from jittor import nn
from numpy.testing import assert_allclose, assert_array_equal

from unidet.models.resnet import mean_pool
from unidet.ops import blocked_pools
from unidet.ops.blocked_maps import LANES, can_block, convolve, to_blocked, to_plain
from unidet.ops.roi_align import roi_align

pytestmark = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")
RNG = np.random.default_rng(0)
ROIS = [[0, 3, 5, 60, 90], [1, 10, -20, 40, 33], [1, 50, 50, 51, 51], [2, 0, 0, 9, 9]]


def normal(*shape: int) -> jt.Var:
    return jt.array(RNG.standard_normal(shape).astype(np.float32))


def agree(ours: jt.Var, theirs: jt.Var, inputs: list[jt.Var]) -> None:
    """Results and gradients, but for the order of sums."""
    weights = normal(*theirs.shape)
    gradients = [jt.grad((result * weights).sum(), inputs) for result in (theirs, ours)]
    pairs = [(theirs, ours), *zip(*gradients, strict=True)]
    for expected, computed in pairs:
        scale = np.abs(expected.numpy()).max()
        assert_allclose(computed.numpy(), expected.numpy(), rtol=1e-5, atol=2e-6 * scale)


def test_a_block_by_hand() -> None:
    feats = jt.array(np.arange(2 * LANES * 2, dtype=np.float32).reshape(1, 2 * LANES, 1, 2))
    blocks = to_blocked(feats)
    assert blocks.shape == [1, 2, 1, 2, LANES]
    assert blocks.numpy()[0, 1, 0, 1, :2].tolist() == [2 * LANES + 1, 2 * LANES + 3]
    assert_array_equal(to_plain(blocks).numpy(), feats.numpy())
    agree(to_plain(to_blocked(feats)), feats * 1.0, [feats])


@pytest.mark.parametrize(
    ("channels", "filters", "side", "stride", "slope"),
    [(32, 48, 3, 1, 0.0), (64, 32, 1, 2, 1.0), (16, 16, 3, 2, 0.1)],
)
def test_convolution(channels: int, filters: int, side: int, stride: int, slope: float) -> None:
    feats, weight = normal(2, channels, 7, 10), normal(filters, channels, side, side)
    bias, padding = normal(filters), side // 2
    scale = normal(filters)
    scaled = nn.conv2d(feats, weight, None, stride, padding)
    scaled = scaled * scale.broadcast(scaled, [0, 2, 3])
    convolved = scaled + bias.broadcast(scaled, [0, 2, 3])
    residual = normal(*convolved.shape)
    ours = convolve(
        to_blocked(feats),
        weight,
        bias,
        scale_O=scale,
        stride=stride,
        padding=padding,
        slope=slope,
        residual=to_blocked(residual),
    )
    theirs = nn.leaky_relu(convolved + residual, slope)
    agree(to_plain(ours), theirs, [feats, weight, bias, scale, residual])


@pytest.mark.parametrize(
    ("images", "rows", "columns"),
    [(2, 39, 41), (8, 6, 600), (1, 9, 3000)],
    ids=["at once", "some images at a time", "some rows at a time"],
)
def test_convolution_by_transforms(images: int, rows: int, columns: int) -> None:
    feats, weight = normal(images, 64, rows, columns), normal(64, 64, 3, 3) / 24
    bias, scale = normal(64), normal(64)
    ours = convolve(to_blocked(feats), weight, bias, scale_O=scale, padding=1, slope=0.0)
    scaled = nn.conv2d(feats, weight, None, 1, 1)
    scaled = scaled * scale.broadcast(scaled, [0, 2, 3])
    theirs = nn.relu(scaled + bias.broadcast(scaled, [0, 2, 3]))
    weights = normal(*theirs.shape)
    gradients = [
        jt.grad((to_plain(result) * weights).sum(), [feats, weight, bias, scale])
        for result in (theirs, ours)
    ]
    for expected, computed in [(theirs, to_plain(ours)), *zip(*gradients, strict=True)]:
        gap = np.abs(computed.numpy() - expected.numpy()).max()
        assert gap < 1e-5 * np.abs(expected.numpy()).max()


def test_an_image_goes_in_plain() -> None:
    images, weight, bias = normal(2, 3, 11, 8), normal(16, 3, 7, 7), normal(16)
    ours = to_plain(convolve(images, weight, bias, stride=2, padding=3))
    agree(ours, nn.conv2d(images, weight, bias, 2, 3), [images, weight, bias])


def test_lanes_past_the_last_filter_are_zero() -> None:
    feats, weight, bias = normal(2, 16, 3, 3), normal(5, 16, 1, 1), normal(5)
    ours = to_plain(convolve(to_blocked(feats), weight, bias))
    assert ours.shape == [2, LANES, 3, 3]
    assert (ours.numpy()[:, 5:] == 0).all()
    agree(ours[:, :5], nn.conv2d(feats, weight, bias), [feats, weight, bias])


def test_channels_must_fit() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        convolve(to_blocked(jt.zeros((1, 16, 3, 3))), jt.zeros((16, 32, 1, 1)), jt.zeros(16))
    with pytest.raises(ValueError, match="do not fill blocks"):
        to_blocked(jt.zeros((1, 24, 3, 3)))


@pytest.mark.parametrize("shape", [(1, 16, 3, 3), (1, 1, 1, 3, LANES), (2, 1, 3, 3, LANES)])
def test_a_residual_of_another_shape_or_layout(shape: tuple[int, ...]) -> None:
    feats, weight = to_blocked(jt.zeros((1, 16, 3, 3))), jt.zeros((16, 16, 1, 1))
    with pytest.raises(ValueError, match="residual"):
        convolve(feats, weight, jt.zeros(16), residual=jt.zeros(shape))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (blocked_pools.max_pool, lambda x: nn.max_pool2d(x, 3, 2, 1)),
        (lambda x: mean_pool(x, 2), lambda x: mean_pool(x, 2)),
        (
            lambda x: blocked_pools.resize_nearest(x, (9, 25)),
            lambda x: nn.interpolate(x, size=(9, 25), mode="nearest"),
        ),
        (
            lambda x: roi_align(x, jt.array(np.array(ROIS, np.float32)), 4, 1 / 8),
            lambda x: roi_align(x, jt.array(np.array(ROIS, np.float32)), 4, 1 / 8),
        ),
        (
            lambda x: roi_align(
                x, jt.array(np.array(ROIS, np.float32)), 4, 1 / 8, keeps_blocks=True
            ),
            lambda x: roi_align(x, jt.array(np.array(ROIS, np.float32)), 4, 1 / 8),
        ),
    ],
    ids=["max pool", "mean pool", "nearest resize", "RoIAlign", "RoIAlign to blocks"],
)
def test_resized(ours: Callable[[jt.Var], jt.Var], theirs: Callable[[jt.Var], jt.Var]) -> None:
    feats = normal(2, 32, 5, 13)
    agree(to_plain(ours(to_blocked(feats))), theirs(feats), [feats])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (3, 3), (8, 1), (4, 2)])
def test_a_maximum_of_small_maps(size: tuple[int, int]) -> None:
    """Jittor pools no map with a side of three cells or fewer."""
    feats = normal(2, 16, *size) - 5
    framed = np.full((2, 16, *(side + 3 for side in size)), -1e9, np.float32)
    framed[:, :, 1 : size[0] + 1, 1 : size[1] + 1] = feats.numpy()
    shifted = [framed[:, :, i : i + size[0] : 2, j : j + size[1] : 2] for i, j in np.ndindex(3, 3)]
    pooled = blocked_pools.max_pool(feats)
    assert_array_equal(pooled.numpy(), np.max(shifted, axis=0))
    agree(to_plain(blocked_pools.max_pool(to_blocked(feats))), pooled, [feats])
