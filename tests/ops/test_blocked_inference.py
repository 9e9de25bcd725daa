"""Layers of blocked maps without gradients against the plain ones; channels that fill no lanes."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from jittor import nn
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops import blocked_inference as inference
from unidet.ops.activation import silu
from unidet.ops.blocked_maps import LANES, can_block, to_blocked, to_plain
from unidet.ops.depthwise_conv import depthwise_conv

pytestmark = pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")
RNG = np.random.default_rng(0)


def normal(*shape: int) -> jt.Var:
    return jt.array(RNG.standard_normal(shape).astype(np.float32))


def filled(feats: jt.Var) -> jt.Var:
    """Blocked, with channels of 0 up to the last lane."""
    count, channels, height, width = feats.shape
    return to_blocked(
        jt.concat([feats, jt.zeros((count, -channels % LANES, height, width))], dim=1)
    )


def scaled(sums: jt.Var, scale: jt.Var, shift: jt.Var) -> jt.Var:
    return sums * scale.broadcast(sums, [0, 2, 3]) + shift.broadcast(sums, [0, 2, 3])


def assert_same(ours: jt.Var, theirs: jt.Var) -> None:
    channels, scale = theirs.shape[1], np.abs(theirs.numpy()).max()
    values = to_plain(ours).numpy()
    assert_allclose(values[:, :channels], theirs.numpy(), rtol=1e-5, atol=2e-6 * scale)
    assert (values[:, channels:] == 0).all()


@pytest.mark.parametrize(
    ("channels", "filters", "side", "stride", "slope"),
    [(24, 58, 1, 1, 0.1), (58, 16, 3, 2, 1.0), (3, 24, 3, 2, 0.1), (16, 32, 3, 1, 0.0)],
)
def test_convolution(channels: int, filters: int, side: int, stride: int, slope: float) -> None:
    feats, weight = normal(2, channels, 7, 10), normal(filters, channels, side, side)
    scale, shift = normal(filters), normal(filters)
    theirs = nn.leaky_relu(
        scaled(nn.conv2d(feats, weight, None, stride, side // 2), scale, shift), slope
    )
    maps, image = (feats, True) if channels == 3 else (filled(feats), False)
    kept = inference.pack_filters(
        weight, scale, shift, stride=stride, padding=side // 2, image=image
    )
    assert_same(inference.convolve(maps, kept, slope=slope), theirs)


@pytest.mark.parametrize(("side", "kind"), [(1, "pointwise"), (3, "winograd")])
@pytest.mark.parametrize("last", [False, True])
def test_a_residual_before_silu_or_after(side: int, kind: str, last: bool) -> None:
    feats, weight, residual = normal(1, 32, 9, 8), normal(32, 32, side, side), 3.0
    scale, shift = normal(32), normal(32)
    kept = inference.pack_filters(weight, scale, shift, stride=1, padding=side // 2)
    assert kept.kind == kind
    added = to_blocked(jt.ones((1, 32, 9, 8)) * residual)
    ours = inference.convolve(
        to_blocked(feats), kept, silu=True, residual=added, residual_last=last
    )
    sums = scaled(nn.conv2d(feats, weight, None, 1, side // 2), scale, shift)
    assert_same(ours, silu(sums) + residual if last else silu(sums + residual))


@pytest.mark.parametrize("size", [(1, 1), (3, 4), (2, 7), (5, 3), (70, 90)])
@pytest.mark.parametrize(("channels", "filters"), [(3, 40), (58, 64), (520, 16)])
def test_filters_of_one_cell(size: tuple[int, int], channels: int, filters: int) -> None:
    """Fewer cells than are summed at once, as many, a remainder, and more than stay in cache."""
    feats, weight, shift = (
        normal(2, channels, *size),
        normal(filters, channels, 1, 1),
        normal(filters),
    )
    kept = inference.pack_filters(weight, jt.ones(filters), shift, stride=1, padding=0)
    assert kept.kind == ("direct" if channels > 512 else "pointwise")
    assert_same(inference.convolve(filled(feats), kept), nn.conv2d(feats, weight, shift))


@pytest.mark.parametrize("size", [(1, 1), (9, 3), (5, 28), (7, 40)])
@pytest.mark.parametrize(("side", "stride", "filters"), [(1, 1, 16), (3, 2, 24), (7, 2, 48)])
def test_an_image(size: tuple[int, int], side: int, stride: int, filters: int) -> None:
    """Also with a residual and SiLU; of one image, two blocks and three."""
    images, weight = normal(2, 3, *size), normal(filters, 3, side, side)
    scale, shift = normal(filters), normal(filters)
    sums = scaled(nn.conv2d(images, weight, None, stride, side // 2), scale, shift)
    kept = inference.pack_filters(
        weight, scale, shift, stride=stride, padding=side // 2, image=True
    )
    assert_same(inference.convolve(images, kept, slope=0.1), nn.leaky_relu(sums, 0.1))
    residual = filled(normal(*sums.shape))
    plain = to_plain(residual)[:, :filters]
    ours = inference.convolve(images, kept, silu=True, residual=residual, residual_last=True)
    assert_same(ours, silu(sums) + plain)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (13, 12), (20, 30)])
def test_winograd_of_any_size(size: tuple[int, int]) -> None:
    """Tiles past the edge; 150 tiles an image are three rounds and a part of one."""
    feats, weight, shift = normal(2, 16, *size), normal(64, 16, 3, 3), normal(64)
    kept = inference.pack_filters(weight, jt.ones(64), shift, stride=1, padding=1)
    assert_same(inference.convolve(to_blocked(feats), kept), nn.conv2d(feats, weight, shift, 1, 1))


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)])
@pytest.mark.parametrize("size", [(9, 13), (1, 2), (20, 6)])
def test_depthwise(side: int, stride: int, size: tuple[int, int]) -> None:
    feats, weight = normal(2, 58, *size), normal(58, 1, side, side)
    scale, shift, zeros = normal(58), normal(58), side // 2
    sums = depthwise_conv(feats, weight, stride, zeros, zeros)
    theirs = nn.leaky_relu(scaled(sums, scale, shift), 0.1)
    kept = inference.pack_depthwise_filters(
        weight, scale, shift, stride=stride, before=zeros, after=zeros
    )
    assert_same(inference.convolve(filled(feats), kept, slope=0.1), theirs)


def test_what_does_not_fit() -> None:
    maps = to_blocked(jt.zeros((1, 16, 3, 3)))
    follow = jt.ones(16), jt.zeros(16)
    wide = inference.pack_filters(jt.zeros((16, 17, 1, 1)), *follow, stride=1, padding=0)
    image = inference.pack_filters(
        jt.zeros((16, 3, 1, 1)), *follow, stride=1, padding=0, image=True
    )
    for filters in (wide, image):
        with pytest.raises(ValueError, match="do not fit"):
            inference.convolve(maps, filters)
    fits = inference.pack_filters(jt.zeros((16, 16, 1, 1)), *follow, stride=1, padding=0)
    with pytest.raises(ValueError, match="residual"):
        inference.convolve(maps, fits, residual=jt.zeros((1, 16, 3, 3)))
    none = inference.pack_depthwise_filters(
        jt.zeros((16, 1, 3, 3)), *follow, stride=1, before=1, after=1
    )
    with pytest.raises(ValueError, match="nothing but a slope"):
        inference.convolve(maps, none, silu=True)


@pytest.mark.parametrize("half", [29, 58, 116])
def test_interleaved_channels(half: int) -> None:
    first, second = normal(2, half, 3, 5), normal(2, half, 3, 5)
    both = np.stack([first.numpy(), second.numpy()], axis=2).reshape(2, 2 * half, 3, 5)
    maps = filled(first), filled(second)
    for start, count in ((0, half), (half, half), (0, 2 * half)):
        ours = to_plain(inference.interleave_channels(*maps, half, start, count)).numpy()
        assert_array_equal(ours[:, :count], both[:, start : start + count])
        assert (ours[:, count:] == 0).all()


def test_interleaved_by_hand() -> None:
    first, second = (jt.array(np.full((1, 1, 1, 1), value, np.float32)) for value in (1, 2))
    ours = to_plain(inference.interleave_channels(filled(first), filled(second), 1, 0, 2)).numpy()
    assert ours[0, :3, 0, 0].tolist() == [1, 2, 0]


@pytest.mark.parametrize("size", [(10, 26), (5, 13), (7, 6)])
def test_stretched(size: tuple[int, int]) -> None:
    feats = normal(2, 24, 5, 13)
    assert_same(inference.resize_bilinear(filled(feats), size), nn.interpolate(feats, size=size))
