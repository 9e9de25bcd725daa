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
    """Sample the classes (sorted int64, without background) of the classification loss.

    All labels that are present are taken, and others are drawn uniformly up to `count`. The
    background, label `class_count`, counts towards `count` if it is present or drawn, and is then
    removed. Only classes with `allowed` (class_count,) true are drawn; if there are too few, all
    are taken. bbox_head_clip.py lines 315-357.
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
