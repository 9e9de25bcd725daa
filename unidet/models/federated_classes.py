"""The classes in the federated classification loss of a training step.

Federated BCE: `models.roi_classifier` takes the binary cross-entropy over these classes alone.
"""

from __future__ import annotations

import numpy as np


def federated_classes(
    labels_present: np.ndarray,
    count: int,
    class_count: int,
    allowed: np.ndarray | None,
    rng: np.random.Generator,
) -> np.ndarray:
    """Classes (sorted int64, without background) in the classification loss.

    All labels present, filled up to `count` by uniform draws among the others. The background,
    label `class_count`, counts as one of the `count`, whether present or drawn, and is then left
    out. `allowed` (class_count,) bool keeps classes without any image from being drawn; where too
    few remain, all of them are taken. bbox_head_clip.py lines 315-357.
    """
    present = np.unique(np.asarray(labels_present, np.int64))
    drawable = np.ones(class_count + 1, bool)
    if allowed is not None:
        drawable[:class_count] = allowed
    drawable[present] = False
    others = np.flatnonzero(drawable)
    wanted = min(max(count - len(present), 0), len(others))
    classes = np.concatenate([present, rng.choice(others, wanted, replace=False)])
    return np.sort(classes[classes < class_count])
