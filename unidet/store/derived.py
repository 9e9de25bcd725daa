"""Derived files, which may be deleted: validated when read, or ignored.

A store may come from elsewhere with all that lies in it, its caches too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unidet.store.disk import read_sealed
from unidet.store.plain_json import parse_json


def read_derived(path: Path, shape: Any) -> Any:
    """The JSON that `write_sealed` has kept; None where it is absent, damaged or something else.

    Args:
        shape: a type; a tuple of the shapes of a list's items, a list of the one that all of them
            have, or {str: shape} of a mapping's values.
    """
    data = read_sealed(path)
    if data is None:
        return None
    try:
        value = parse_json(data)
    except ValueError:
        return None
    return value if _fits(value, shape) else None


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, type):
        return type(value) is shape
    if isinstance(shape, dict):
        (inner,) = shape.values()
        return type(value) is dict and all(_fits(item, inner) for item in value.values())
    if type(value) is not list:
        return False
    if isinstance(shape, list):
        return all(_fits(item, shape[0]) for item in value)
    return len(value) == len(shape) and all(map(_fits, value, shape))
