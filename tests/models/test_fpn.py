"""FPN against a map worked out by hand."""

from __future__ import annotations

import jittor as jt
import numpy as np

from unidet.models.fpn import FPN


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
