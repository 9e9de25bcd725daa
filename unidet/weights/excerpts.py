"""Names that two files of tensors share, whole or as excerpts: see `unidet.weights.compare`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import numpy as np


def shared(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Both tensors of every name in common, excerpts taken where only one side has one."""
    pairs = {}
    for name in dict.fromkeys([*ours, *theirs]):
        mine, reference = whole_or_excerpt(ours, name), whole_or_excerpt(theirs, name)
        if mine is not None and reference is not None:
            pairs[name] = (mine, reference)
    order = {name: place for place, name in enumerate(ours)}
    base = {name: order.get(name, order.get(name.split("#")[0], len(order))) for name in pairs}
    return {name: pairs[name] for name in sorted(pairs, key=base.__getitem__)}


def whole_or_excerpt(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    """The tensor of this name, or the excerpt of another that the name asks for; None without."""
    if name in arrays:
        return arrays[name]
    whole, _, excerpt = name.rpartition("#")
    if whole not in arrays:
        return None
    if excerpt == "norm" and is_number(arrays[whole]):
        return np.asarray(np.linalg.norm(arrays[whole].astype(np.float64)))
    if excerpt == "shape":
        return np.array(arrays[whole].shape)
    if re.fullmatch(r"first\d{1,18}", excerpt):
        return arrays[whole].reshape(-1)[: int(excerpt.removeprefix("first"))]
    return None


def alone(arrays: Mapping[str, np.ndarray], pairs: Collection[str]) -> list[str]:
    """Names of one file, in its order, that are in no pair, as themselves or by an excerpt."""
    plain = {name.split("#")[0] for name in pairs}
    return [name for name in arrays if name not in pairs and name not in plain]


def is_number(array: np.ndarray) -> bool:
    """Whether arithmetic is defined for it as for real numbers."""
    return array.dtype.kind in "biuf"
