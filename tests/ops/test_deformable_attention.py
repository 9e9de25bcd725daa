"""Deformable attention: a sample by hand, values and gradients by Jittor's grid_sample and by
finite differences; the whole call against the official recording."""

from __future__ import annotations

from collections.abc import Sequence

import jittor as jt
import numpy as np
import pytest
from jittor import nn

from unidet.ops.deformable_attention import deformable_attention

SIZES = [(3, 4), (2, 1)]


def _inputs(seed: int) -> list[np.ndarray]:
    """Values (2, 14, 2, 3), locations around and outside the maps, weights of 2 points a level."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, 14, 2, 3))
    locations = rng.uniform(-0.3, 1.3, size=(2, 5, 2, 2, 2, 2))
    weights = rng.uniform(size=(2, 5, 2, 2, 2))
    return [array.astype(np.float32) for array in (values, locations, weights)]


def by_grid_sample(
    values_NSAD: jt.Var,
    locations_NQALP2: jt.Var,
    weights_NQALP: jt.Var,
    sizes: Sequence[tuple[int, int]],
) -> jt.Var:
    """`deformable_attention` by Jittor's own operations."""
    images, _, heads, width = values_NSAD.shape
    queries, points = weights_NQALP.shape[1], weights_NQALP.shape[4]
    parts, first = [], 0
    for level, (height, length) in enumerate(sizes):
        values = values_NSAD[:, first : first + height * length].permute(0, 2, 3, 1)
        grid = locations_NQALP2[:, :, :, level].permute(0, 2, 1, 3, 4)
        samples = nn.grid_sample(
            values.reshape(images * heads, width, height, length),
            grid.reshape(images * heads, queries, points, 2) * 2 - 1,
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        ).reshape(images, heads, width, queries, points)
        weights = weights_NQALP[:, :, :, level].permute(0, 2, 1, 3).unsqueeze(2)
        parts.append((samples * weights.broadcast(samples)).sum(dim=-1))
        first += height * length
    return sum(parts[1:], parts[0]).permute(0, 3, 1, 2)


def test_one_sample_by_hand() -> None:
    """Map [[1, 2], [3, 4]]; (0.5, 0.5) is its middle, (0.25, 0.25) the first cell's, (0, 0.25) is
    half outside, (-0.3, 0) wholly."""
    values = jt.array(np.array([1, 2, 3, 4], np.float32).reshape(1, 4, 1, 1))
    places = np.array([[0.5, 0.5], [0.25, 0.25], [0, 0.25], [-0.3, 0]], np.float32)
    locations = jt.array(places.reshape(1, 4, 1, 1, 1, 2))
    weights = jt.array(np.array([1, 10, 1, 1], np.float32).reshape(1, 4, 1, 1, 1))
    ours = deformable_attention(values, locations, weights, [(2, 2)])
    np.testing.assert_allclose(ours.numpy().ravel(), [2.5, 10, 0.5, 0], atol=1e-6)


def test_equal_to_grid_sample_with_gradients() -> None:
    inputs = [jt.array(array) for array in _inputs(0)]
    kernels, operations = (
        function(*inputs, SIZES) for function in (deformable_attention, by_grid_sample)
    )
    np.testing.assert_allclose(kernels.numpy(), operations.numpy(), atol=1e-5)
    probe = jt.array(np.random.default_rng(1).normal(size=kernels.shape).astype(np.float32))
    ours = jt.grad((kernels * probe).sum(), inputs)
    expected = jt.grad((operations * probe).sum(), inputs)
    for gradient, reference in zip(ours, expected, strict=True):
        np.testing.assert_allclose(gradient.numpy(), reference.numpy(), atol=1e-4)


def _in_float64(values: np.ndarray, locations: np.ndarray, weights: np.ndarray) -> float:
    """The sum of all outputs, by tent functions around every cell."""
    total, first = 0.0, 0
    for level, (height, width) in enumerate(SIZES):
        cells = values[:, first : first + height * width].reshape(2, height, width, 2, 3)
        first += height * width
        x = locations[:, :, :, level, :, 0] * width - 0.5
        y = locations[:, :, :, level, :, 1] * height - 0.5
        across = np.maximum(1 - np.abs(x[..., None] - np.arange(width)), 0)
        down = np.maximum(1 - np.abs(y[..., None] - np.arange(height)), 0)
        mixed = np.einsum("nqapy,nqapx,nyxad,nqap->", down, across, cells, weights[:, :, :, level])
        total += mixed
    return total


def test_gradients_by_finite_differences() -> None:
    arrays = [array.astype(np.float64) for array in _inputs(2)]
    variables = [jt.array(array.astype(np.float32)) for array in arrays]
    output = deformable_attention(*variables, SIZES).sum()
    assert output.item() == pytest.approx(_in_float64(*arrays), rel=1e-5)
    gradients = [gradient.numpy() for gradient in jt.grad(output, variables)]
    rng = np.random.default_rng(3)
    for which, array in enumerate(arrays):
        for place in rng.choice(array.size, 20, replace=False):
            moved = [array.copy(), array.copy()]
            step = 1e-6
            moved[0].ravel()[place] += step
            moved[1].ravel()[place] -= step
            up, low = (_in_float64(*arrays[:which], m, *arrays[which + 1 :]) for m in moved)
            expected = (up - low) / (2 * step)
            assert gradients[which].ravel()[place] == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_levels_that_do_not_fit_are_refused() -> None:
    inputs = [jt.array(array) for array in _inputs(0)]
    with pytest.raises(ValueError, match="do not fit"):
        deformable_attention(*inputs, [(3, 4), (3, 1)])
