"""Layers of blocked maps without gradients against the plain ones; channels that fill no lanes."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from jittor import nn
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops import blocked_inference as inference
from unidet.ops.batch_norm import BatchNorm2d
from unidet.ops.blocked_maps import LANES, blocked, can_block, plain
from unidet.ops.depthwise_conv import depthwise_conv

pytestmark = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")
RNG = np.random.default_rng(0)


def normal(*shape: int) -> jt.Var:
    return jt.array(RNG.standard_normal(shape).astype(np.float32))


def filled(feats: jt.Var) -> jt.Var:
    """Blocked, with channels of 0 up to the last lane."""
    count, channels, height, width = feats.shape
    return blocked(jt.concat([feats, jt.zeros((count, -channels % LANES, height, width))], dim=1))


def norm_of(channels: int, leak: float) -> BatchNorm2d:
    norm = BatchNorm2d(channels, relu=leak != 1, leak=leak)
    norm.is_train = False
    for name in ("weight", "bias", "running_mean"):
        getattr(norm, name).update(normal(channels))
    norm.running_var.update(normal(channels) ** 2 + 0.1)
    return norm


def assert_same(ours: jt.Var, theirs: jt.Var) -> None:
    channels, scale = theirs.shape[1], np.abs(theirs.numpy()).max()
    values = plain(ours).numpy()
    assert_allclose(values[:, :channels], theirs.numpy(), rtol=1e-5, atol=2e-6 * scale)
    assert (values[:, channels:] == 0).all()


@pytest.mark.parametrize(
    ("channels", "filters", "side", "stride", "leak"),
    [(24, 58, 1, 1, 0.1), (58, 16, 3, 2, 1.0), (3, 24, 3, 2, 0.1)],
)
def test_convolution(channels: int, filters: int, side: int, stride: int, leak: float) -> None:
    feats, weight = normal(2, channels, 7, 10), normal(filters, channels, side, side)
    norm = norm_of(filters, leak)
    theirs = norm(nn.conv2d(feats, weight, None, stride, side // 2))
    maps = feats if channels == 3 else filled(feats)
    assert_same(
        inference.convolve_normalize(maps, weight, norm, stride=stride, padding=side // 2), theirs
    )


def test_a_residual_is_added_last() -> None:
    feats, weight, norm, residual = normal(1, 16, 4, 4), normal(16, 16, 1, 1), norm_of(16, 1.0), 3.0
    added = blocked(jt.ones((1, 16, 4, 4)) * residual)
    ours = inference.convolve_normalize(blocked(feats), weight, norm, residual=added)
    assert_same(ours, norm(nn.conv2d(feats, weight)) + residual)


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)])
@pytest.mark.parametrize("size", [(9, 13), (1, 2)])
def test_depthwise(side: int, stride: int, size: tuple[int, int]) -> None:
    feats, weight, norm = normal(2, 58, *size), normal(58, 1, side, side), norm_of(58, 0.1)
    theirs = norm(depthwise_conv(feats, weight, stride, side // 2, side // 2))
    ours = inference.depthwise_normalize(filled(feats), weight, norm, stride, side // 2, side // 2)
    assert_same(ours, theirs)


def test_channels_must_fit() -> None:
    maps, norm = blocked(jt.zeros((1, 16, 3, 3))), norm_of(16, 1.0)
    with pytest.raises(ValueError, match="do not fit"):
        inference.convolve_normalize(maps, jt.zeros((16, 17, 1, 1)), norm)
    with pytest.raises(ValueError, match="do not fit"):
        inference.depthwise_normalize(maps, jt.zeros((17, 1, 3, 3)), norm, 1, 1, 1)


@pytest.mark.parametrize("half", [29, 58, 116])
def test_interleaved_channels(half: int) -> None:
    first, second = normal(2, half, 3, 5), normal(2, half, 3, 5)
    both = np.stack([first.numpy(), second.numpy()], axis=2).reshape(2, 2 * half, 3, 5)
    maps = filled(first), filled(second)
    for start, count in ((0, half), (half, half), (0, 2 * half)):
        ours = plain(inference.interleaved(*maps, half, start, count)).numpy()
        assert_array_equal(ours[:, :count], both[:, start : start + count])
        assert (ours[:, count:] == 0).all()


def test_interleaved_by_hand() -> None:
    first, second = (jt.array(np.full((1, 1, 1, 1), value, np.float32)) for value in (1, 2))
    ours = plain(inference.interleaved(filled(first), filled(second), 1, 0, 2)).numpy()
    assert ours[0, :3, 0, 0].tolist() == [1, 2, 0]


@pytest.mark.parametrize("size", [(10, 26), (5, 13), (7, 6)])
def test_stretched(size: tuple[int, int]) -> None:
    feats = normal(2, 24, 5, 13)
    assert_same(inference.stretched(filled(feats), size), nn.interpolate(feats, size=size))
