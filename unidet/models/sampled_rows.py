"""Concatenation and padding of records of numpy arrays that have one row per sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

Record = TypeVar("Record", bound=Any)  # a dataclass of arrays


def concatenate(parts: Sequence[Record]) -> Record:
    """One record with the rows of all `parts`."""
    kind = type(parts[0])
    columns = ([getattr(part, item.name) for part in parts] for item in fields(kind))
    return kind(*map(np.concatenate, columns))


def with_zeros(values: np.ndarray, count: int) -> np.ndarray:
    """`values` followed by `count` rows of zeros."""
    return np.concatenate([values, np.zeros((count, *values.shape[1:]), np.float32)])
