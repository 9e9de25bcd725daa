"""Examples as classifiers, by hand in two dimensions."""

from __future__ import annotations

import numpy as np

from unidet.pipelines.detector.shown import MANY_NAMES, Shown

EXAMPLE_AND_WORD = np.array([[1, 0], [0.6, 0.8]], np.float32)
IS_SHOWN = np.array([True, False])
# Half of them (1, 0), half (0, 1): the mean is (0.5, 0.5), the spread around it 0.5 ** 0.5.
NAMES = np.tile(np.eye(2), (MANY_NAMES // 2, 1))
UP = np.array([[0, 1]], np.float16)


def test_an_example_is_what_it_has_beyond_the_mean_region() -> None:
    """(1, 0) - (0, 1), of unit length."""
    moved = Shown(EXAMPLE_AND_WORD, IS_SHOWN, None).after(UP)
    np.testing.assert_allclose(moved, [[0.5**0.5, -(0.5**0.5)], [0.6, 0.8]], rtol=1e-6)


def test_it_is_put_where_names_lie() -> None:
    """(1, -1) at the names' spread is (0.5, -0.5); with their mean (1, 0)."""
    moved = Shown(EXAMPLE_AND_WORD, IS_SHOWN, NAMES).after(UP)
    np.testing.assert_allclose(moved, [[1, 0], [0.6, 0.8]], atol=1e-6)
    few = Shown(EXAMPLE_AND_WORD, IS_SHOWN, NAMES[:-1]).after(UP)
    np.testing.assert_allclose(few[0], [0.5**0.5, -(0.5**0.5)], rtol=1e-6)


def test_the_mean_is_of_all_pictures_so_far() -> None:
    """Of (0, 1) three times and (0, -1) once it is (0, 0.5)."""
    shown = Shown(EXAMPLE_AND_WORD, IS_SHOWN, None)
    shown.after(np.repeat(UP, 3, axis=0))
    (moved, _) = shown.after(-UP)
    np.testing.assert_allclose(moved, np.array([1, -0.5]) / 1.25**0.5, rtol=1e-6)


def test_without_a_region_examples_stay() -> None:
    moved = Shown(EXAMPLE_AND_WORD, IS_SHOWN, NAMES).after(UP[:0])
    np.testing.assert_array_equal(moved, EXAMPLE_AND_WORD)
