"""One-to-one assignment of queries to ground truth at the lowest total cost.

Q queries, G ground-truth boxes. Runs on the CPU.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment


def assign(cost_QG: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """min(Q, G) pairs of least summed cost: query rows, ascending, and their columns, int64.

    G = 0 gives two empty arrays. ValueError where a cost is NaN. The Hungarian method as scipy has
    it, which RT-DETR and DETR call too.
    """
    rows, columns = linear_sum_assignment(cost_QG)
    return rows.astype(np.int64), columns.astype(np.int64)
