"""One-to-one assignment of queries to ground truth with the lowest total cost, in numpy.

Q: queries, G: ground-truth boxes.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def assign(cost_QG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The min(Q, G) pairs with the lowest total cost: query rows, ascending, and columns, int64.

    G = 0 gives two empty arrays. ValueError where a cost is NaN. Uses scipy's implementation, as
    RT-DETR and DETR do.
    """
    rows, columns = linear_sum_assignment(cost_QG)
    return rows.astype(np.int64), columns.astype(np.int64)
