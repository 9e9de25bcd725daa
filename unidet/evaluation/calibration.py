"""Score fusion and probability calibration of open-world inference.

UniDetector, section 3.3 and its BBoxHeadCLIPInference: with class probability p_ij of region i
and its class-agnostic score eta_i,
    s_ij = (p_ij * w_j / mean(w))^beta * eta_i^(1 - beta),   w_j = 1 / n_j^gamma,
where the prior n_j is how often class j is detected without calibration.
"""

from __future__ import annotations

import numpy as np

from unidet.config.compat import Compat


def fuse_scores(
    probabilities_RC: np.ndarray, proposal_scores: np.ndarray, beta: float
) -> np.ndarray:
    """(R, C) float32 geometric mean p^beta * eta^(1 - beta); beta 1 leaves out the proposals.

    Args:
        probabilities_RC: class probabilities, calibrated or not (calibrated ones may exceed 1).
        proposal_scores: (R,) in [0, 1].
    """
    if beta == 1:
        return probabilities_RC.astype(np.float32)
    exponent = np.float32(beta)
    fused = np.power(probabilities_RC, exponent, dtype=np.float32)
    fused *= np.power(proposal_scores, 1 - exponent, dtype=np.float32)[:, None]
    return fused


def prior_counts(detected_category_ids: np.ndarray, category_ids: np.ndarray) -> np.ndarray:
    """(C,) int64: how many uncalibrated detections each category has over all images.

    Args:
        detected_category_ids: (K,) ids of all detections, every one in `category_ids`.
        category_ids: (C,) distinct, in any order.
    """
    order = np.argsort(category_ids)
    rows = order[np.searchsorted(category_ids[order], detected_category_ids)]
    return np.bincount(rows, minlength=len(category_ids))


def calibration_weights(counts: np.ndarray, gamma: float, compat: Compat = "default") -> np.ndarray:
    """(C,) float32 factors w_j / mean(w) for class probabilities; gamma 0 gives ones.

    A class that was never detected counts as detected once. The official code divides by its
    zero: infinite weight, so that every other class drops to 0 and the class itself to NaN;
    "official" reproduces that.

    Args:
        counts: (C,) detections of each class, from `prior_counts`.
    """
    counted = counts.astype(np.float64)
    if compat == "default":
        counted = np.maximum(counted, 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = 1 / counted**gamma
        return (weights / weights.mean()).astype(np.float32)
