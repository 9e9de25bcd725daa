"""RoIAlign against a plain loop over samples, its transpose, and by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from unidet.ops.roi_align import roi_align


def bilinear(plane: np.ndarray, y: float, x: float) -> np.ndarray:
    """Value of (C, H, W) at (y, x): 0 more than a cell outside, else clamped to the border."""
    height, width = plane.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return np.zeros(len(plane))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = plane[:, top, left] * (left + 1 - x) + plane[:, top, right] * (x - left)
    lower = plane[:, bottom, left] * (left + 1 - x) + plane[:, bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def plain(
    feats: np.ndarray,
    rois: np.ndarray,
    size: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
) -> np.ndarray:
    """mmcv's definition, sample by sample."""
    pooled = np.zeros((len(rois), feats.shape[1], *size))
    for r, (image, *corners) in enumerate(rois.astype(np.float64)):
        x1, y1, x2, y2 = np.array(corners) * scale - (0.5 if aligned else 0)
        width, height = (x2 - x1, y2 - y1) if aligned else (max(x2 - x1, 1), max(y2 - y1, 1))
        bin_h, bin_w = height / size[0], width / size[1]
        down, across = (ratio or int(np.ceil(bin_h))), (ratio or int(np.ceil(bin_w)))
        for p, q in np.ndindex(size):
            for i, j in np.ndindex(max(down, 0), max(across, 0)):
                y = y1 + p * bin_h + (i + 0.5) * bin_h / down
                x = x1 + q * bin_w + (j + 0.5) * bin_w / across
                pooled[r, :, p, q] += bilinear(feats[int(image)], y, x) / (down * across)
    return pooled


def example() -> tuple[np.ndarray, np.ndarray]:
    """Two images of 19 channels; rois inside, over every border, outside, inverted, tiny, huge."""
    rng = np.random.default_rng(2)
    feats = rng.standard_normal((2, 19, 9, 13)).astype(np.float32)
    rois = [
        [0, 8.3, 5.1, 60.2, 50.7],
        [1, -20, -30, 40, 30],
        [1, 70, 40, 140, 100],
        [0, 500, 500, 600, 600],
        [0, 50, 40, 20, 10],
        [0, 50, 10, 20, 40],
        [1, 33.3, 22.2, 33.4, 22.3],
        [0, -300, -300, 400, 400],
        [1, 0, 0, 104, 72],
    ]
    return feats, np.array(rois, np.float32)


@pytest.mark.parametrize(("ratio", "aligned"), [(0, True), (2, True), (0, False), (3, False)])
def test_equals_the_definition(ratio: int, aligned: bool) -> None:
    feats, rois = example()
    pooled = roi_align(jt.array(feats), jt.array(rois), (3, 5), 1 / 8, ratio, aligned)
    expected = plain(feats, rois, (3, 5), 1 / 8, ratio, aligned)
    assert_allclose(pooled.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("ratio", [0, 2])
def test_gradient_is_the_transpose(ratio: int) -> None:
    """The op is linear in the features: <g, A f> = <A^T g, f> for every f, so for unit ones too."""
    feats, rois = example()
    variable = jt.array(feats)
    pooled = roi_align(variable, jt.array(rois), 4, 1 / 8, ratio)
    rng = np.random.default_rng(3)
    weights = rng.standard_normal(pooled.shape).astype(np.float32)
    gradient = jt.grad((pooled * jt.array(weights)).sum(), variable).numpy()
    for image, channel, y, x in [(0, 0, 0, 0), (0, 18, 4, 6), (1, 3, 8, 12), (1, 16, 2, 2)]:
        unit = np.zeros_like(feats)
        unit[image, channel, y, x] = 1
        expected = (plain(unit, rois, (4, 4), 1 / 8, ratio, True) * weights).sum()
        assert gradient[image, channel, y, x] == pytest.approx(expected, abs=1e-5)


def test_by_hand() -> None:
    """A ramp in x averages to the bin's centre, less the half cell of alignment."""
    ramp = np.tile(np.arange(8, dtype=np.float32), (1, 1, 8, 1))
    rois = jt.array(np.array([[0, 2, 2, 6, 6]], np.float32))
    pooled = roi_align(jt.array(ramp), rois, 2, 1.0).numpy()
    assert_allclose(pooled, [[[[2.5, 4.5], [2.5, 4.5]]]], rtol=1e-6)
    unaligned = roi_align(jt.array(ramp), rois, 2, 1.0, aligned=False).numpy()
    assert_allclose(unaligned, [[[[3, 5], [3, 5]]]], rtol=1e-6)


def test_no_rois() -> None:
    feats = jt.ones((1, 3, 4, 4))
    pooled = roi_align(feats, jt.zeros((0, 5)), (7, 2), 1.0)
    assert pooled.shape == [0, 3, 7, 2]
    assert_array_equal(jt.grad(pooled.sum(), feats).numpy(), np.zeros((1, 3, 4, 4)))


def test_image_without_rois_and_unknown_image() -> None:
    feats = jt.ones((2, 3, 4, 4))
    rois = jt.array(np.array([[1, 0, 0, 4, 4], [2, 0, 0, 4, 4]], np.float32))
    pooled = roi_align(feats, rois, 2, 1.0)
    assert_array_equal(pooled.numpy()[:, 0, 0, 0], [1, 0])
    gradient = jt.grad(pooled.sum(), feats).numpy()
    assert_array_equal(gradient[0], np.zeros((3, 4, 4)))
    assert gradient[1].sum() == pytest.approx(3 * 4)


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"rois \(R,5\)"):
        roi_align(jt.ones((1, 3, 4, 4)), jt.zeros((2, 4)), 2, 1.0)


def test_rois_keep_the_gradient_of_their_other_uses() -> None:
    source = jt.array(np.array([[0, 0, 0, 4, 4]], np.float32))
    rois = source * 1.0
    pooled = roi_align(jt.ones((1, 3, 4, 4)), rois, 2, 1.0)
    gradient = jt.grad(pooled.sum() + rois.sum(), source).numpy()
    assert_array_equal(gradient, np.ones((1, 5)))
