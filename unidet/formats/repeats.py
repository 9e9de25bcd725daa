"""Duplicate records."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unidet.formats.growing import blocks

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2 to the 64 by the golden ratio


def repeated(*columns: np.ndarray) -> np.ndarray:
    """(N,) bool, the records equal to an earlier one in all numeric columns, (N,) or (N, K).

    Zeros of both signs are one, NaN is like nothing. There may be millions of records: they are
    compared by four bytes of each, and whole where these are alike.
    """
    hashes = np.empty(len(columns[0]), np.uint32)
    for block in blocks(*columns):
        hashes[block] = _hashes(_numbers(columns, block))
    ordered = np.sort(hashes)
    shared = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    mask = np.zeros(len(hashes), bool)
    for block in blocks(hashes):
        mask[block] = np.isin(hashes[block], shared)
    rows = np.flatnonzero(mask)
    records = _numbers(columns, rows)
    order = np.lexsort(records.T)
    again = (records[order[1:]] == records[order[:-1]]).all(axis=1)
    mask[rows] = False
    mask[rows[order[1:][again]]] = True
    return mask


def _numbers(columns: Sequence[np.ndarray], rows: slice | np.ndarray) -> np.ndarray:
    """The columns at `rows` side by side, float64; adding 0 leaves one zero."""
    return np.column_stack([np.asarray(column[rows], np.float64) for column in columns]) + 0.0


def _hashes(records: np.ndarray) -> np.ndarray:
    """(N,) uint32 of the rows of float64 numbers."""
    hashes = np.zeros(len(records), np.uint64)
    for column in np.ascontiguousarray(records.T).view(np.uint64):
        hashes ^= column
        hashes *= _MULTIPLIER
        hashes ^= hashes >> np.uint64(32)
    return hashes.astype(np.uint32)
