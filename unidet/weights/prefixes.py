"""Arrays by name below a prefix, and under one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def below(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names start with `prefix`, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays with `prefix` before every name."""
    return {prefix + name: array for name, array in arrays.items()}
