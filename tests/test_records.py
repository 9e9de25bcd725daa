"""Records that the parts hand to one another."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.records import rows_among

FAR = 2**62


@pytest.mark.parametrize("known", [[5], [7, 3, 5], [-2, 0, -9], [FAR, -FAR, 3], [3, 10**12]])
def test_rows_of_ids(known: list[int]) -> None:
    """Of ids close together and far apart, and of strangers beside, between and beyond them."""
    ids = [*known, 4, -3, FAR - 1, -FAR + 1, 2**63 - 1, -(2**63), *known]
    expected = [known.index(number) if number in known else -1 for number in ids]
    assert rows_among(np.array(known), np.array(ids)).tolist() == expected


def test_no_rows() -> None:
    nothing = np.zeros(0, np.int64)
    assert rows_among(nothing, np.array([1, 2])).tolist() == [-1, -1]
    assert rows_among(np.array([1, 2]), nothing).tolist() == []
