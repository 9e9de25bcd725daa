"""The names of a network's classes, where its file carries them.

Ours: JSON under `classes` in the metadata of a safetensors file, a name for each output, null for
one that stands for nothing. In PyTorch checkpoints trainers keep them beside the weights: mmdet 2
under `meta.CLASSES`, mmdet 3 under `meta.dataset_meta`, others under `names` or `class_names`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from safetensors import SafetensorError, safe_open

from unidet.errors import UserError
from unidet.weights.read import read_entries
from unidet.weights.write import CLASSES_KEY

ClassNames: TypeAlias = "tuple[str | None, ...]"
_PLACES = (
    ("meta", "CLASSES"),
    ("meta", "dataset_meta", "classes"),
    ("meta", "dataset_meta", "CLASSES"),
    ("names",),
    ("class_names",),
)


def metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; none of any other."""
    try:
        with safe_open(path, "np") as file:
            return file.metadata() or {}
    except SafetensorError:
        return {}


def read_class_names(path: Path) -> ClassNames:
    """The name of each output, None for one that stands for nothing; empty where the file has none.

    Raises:
        UserError: a PyTorch checkpoint that cannot be read; metadata that are no names.
    """
    if written := metadata(path).get(CLASSES_KEY):
        return _ours(path, written)
    entries = read_entries(path)
    return next(filter(None, (_names(_entry(entries, place)) for place in _PLACES)), ())


def _ours(path: Path, written: str) -> ClassNames:
    try:
        names = json.loads(written)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(n, (str, type(None))) for n in names):
        raise UserError(f"{path}: its metadata {CLASSES_KEY!r} are no list of names: {written:.60}")
    return tuple(names)


def _entry(entries: Any, place: Sequence[str]) -> Any:
    for key in place:
        entries = entries.get(key) if isinstance(entries, Mapping) else None
    return entries


def _names(value: Any) -> ClassNames:
    """A list of names, or names by number from 0."""
    if isinstance(value, Mapping) and list(value) == list(range(len(value))):
        value = list(value.values())
    is_list = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    return tuple(value) if is_list else ()
