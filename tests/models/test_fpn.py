"""FPN against a map worked out by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np
import pytest
from numpy.testing import assert_allclose

from unidet.models.fpn import FPN
from unidet.ops.blocked_maps import LANES, as_array, can_block, to_blocked, to_plain


def _identity(neck: FPN) -> None:
    for lateral, smooth in zip(neck.lateral_convs, neck.fpn_convs, strict=True):
        lateral.weight.update(jt.ones_like(lateral.weight))
        kernel = np.zeros((1, 1, 3, 3), np.float32)
        kernel[0, 0, 1, 1] = 1
        smooth.weight.update(jt.array(kernel))


def test_coarse_levels_are_added_to_the_nearest_cells_and_extra_levels_skip_cells() -> None:
    neck = FPN((1, 1), channels=1, levels=4)
    _identity(neck)
    fine = np.arange(15, dtype=np.float32).reshape(1, 1, 3, 5)
    coarse = np.array([[[[100, 200, 300], [400, 500, 600]]]], np.float32)
    levels = [level.numpy()[0, 0] for level in neck([jt.array(fine), jt.array(coarse)])]
    # Nearest upsampling from 2x3 to 3x5 cells: rows 0,0,1 and columns floor(x * 3/5) = 0,0,1,1,2.
    raised = np.array(
        [[100, 100, 200, 200, 300], [100, 100, 200, 200, 300], [400, 400, 500, 500, 600]]
    )
    np.testing.assert_array_equal(levels[0], fine[0, 0] + raised)
    np.testing.assert_array_equal(levels[1], coarse[0, 0])
    np.testing.assert_array_equal(levels[2], [[100, 300]])
    np.testing.assert_array_equal(levels[3], [[100]])


@pytest.mark.skipif(not can_block(LANES), reason="needs AVX-512 and oneDNN")
@pytest.mark.parametrize("channels", [32, 24])
@pytest.mark.parametrize("blocked", [(True, False), (False, True), (True, True)])
def test_maps_of_either_layout(channels: int, blocked: tuple[bool, bool]) -> None:
    """A frozen layer's map can be blocked while a trained batch norm's is plain."""
    neck, rng = FPN((16, 48), channels, levels=2), np.random.default_rng(0)
    fine, coarse = (
        jt.array(rng.standard_normal(shape).astype(np.float32))
        for shape in ((2, 16, 8, 12), (2, 48, 4, 6))
    )
    learned = [fine, coarse, *neck.parameters()]
    mixed = [
        to_blocked(feats) if block else feats
        for feats, block in zip((fine, coarse), blocked, strict=True)
    ]
    theirs, ours = neck([fine, coarse]), neck(mixed)
    for expected, computed in zip(theirs, ours, strict=True):
        assert_allclose(as_array(computed), expected.numpy(), rtol=1e-4, atol=1e-5)
    gradients = [
        jt.grad(sum((to_plain(level) ** 2).sum() for level in levels), learned)
        for levels in (theirs, ours)
    ]
    for expected, computed in zip(*gradients, strict=True):
        scale = np.abs(expected.numpy()).max()
        assert_allclose(computed.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5 * scale)
