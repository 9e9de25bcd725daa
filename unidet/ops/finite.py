"""A network whose outputs are no numbers says so: comparisons with NaN are false, and what is no
score would be no detection in silence."""

from __future__ import annotations

import math

import numpy as np

from unidet.errors import UserError


def require_finite(outputs: np.ndarray) -> np.ndarray:
    """The outputs of a network as they are; UserError where one is NaN or infinite."""
    # a sum costs a third of looking at each, and is not finite where one of them is not
    with np.errstate(over="ignore", invalid="ignore"):
        total = float(outputs.sum())
    if not math.isfinite(total) and not np.isfinite(outputs).all():
        raise UserError(
            "the network's outputs are NaN or infinite: its weights are damaged or of a training "
            "that diverged, or `images` (mean, std) are not those that it was trained with"
        )
    return outputs
