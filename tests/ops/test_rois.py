"""A batch's regions in one table and apart again."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from unidet.ops.rois import rois_of, split_by_image

FIRST = np.array([[1, 2, 3, 4, 0.5], [5, 6, 7, 8, 0.25]], np.float32)
NONE = np.zeros((0, 5), np.float32)
LAST = np.array([[9, 8, 10, 12, 0.75]], np.float32)


def test_rows_name_their_image() -> None:
    rois = rois_of([FIRST, NONE, LAST])
    assert rois.dtype == np.float32
    assert_array_equal(rois, [[0, 1, 2, 3, 4], [0, 5, 6, 7, 8], [2, 9, 8, 10, 12]])
    assert rois_of([NONE]).shape == (0, 5)


def test_rows_go_back_to_their_image() -> None:
    parts = split_by_image(np.array([1, 2, 3]), [FIRST, NONE, LAST])
    assert [part.tolist() for part in parts] == [[1, 2], [], [3]]
