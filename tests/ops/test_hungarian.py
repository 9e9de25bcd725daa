"""One-to-one assignment, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from unidet.ops.hungarian import assign


def test_least_total_cost_not_each_box_its_best() -> None:
    """Both boxes like query 1 best (1 and 2); giving it to the first costs 1 + 5, to the second
    2 + 3. Query 2 fits nothing."""
    cost = np.array([[3.0, 5.0], [1.0, 2.0], [9.0, 9.0]])
    rows, columns = assign(cost)
    assert rows.tolist() == [0, 1]
    assert columns.tolist() == [0, 1]


def test_no_boxes() -> None:
    rows, columns = assign(np.zeros((4, 0)))
    assert rows.shape == columns.shape == (0,)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid numeric"):
        assign(np.array([[np.nan, 1.0], [1.0, 1.0]]))
