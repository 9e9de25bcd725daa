"""Reading of caches, which may be deleted at any time. Invalid ones are ignored.

They are validated because a store, including its caches, may come from another machine.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unidet.store.disk import read_sealed
from unidet.store.plain_json import parse_json


def read_derived(path: Path, shape: Any) -> Any:
    """JSON written by `write_sealed`; None where it is missing, damaged or has another shape.

    Args:
        shape: a type; a tuple with the shape of each item of a list; a list with the one shape of
            all items; or {str: shape} for the values of a mapping.
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
