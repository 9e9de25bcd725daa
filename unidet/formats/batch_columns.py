"""The columns of one batch of JSON records: which of its fields are read, and as what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from unidet.formats.columns import ANYTHING, FLAG, OUTLINE, Column, Kind
from unidet.formats.json_window import Batch

# The keys that other tools write for these flags, without case and underscores.
_SPELLINGS = {
    "iscrowd": ("iscrowd", "crowd", "iscrowded"),
    "ignore": ("ignore", "ignored", "isignore", "isignored"),
}
Fields = Mapping[str, Kind]
BOX, SHAPE = "bbox", "segmentation"
"""The box of an annotation or a detection, and the outline that has one where a record has none."""


def parts_of(batch: Batch, fields: Fields) -> tuple[dict[str, Column], Mapping[int, Any]]:
    """The columns of a batch, and what of it is no object; what is odd is as Python decodes it."""
    if batch.scanned is not None:
        return {key: Column(part, None, {}) for key, part in batch.scanned.columns.items()}, {}
    parts, strays = _columns(batch.values, fields)
    if strays or any(part.written for part in parts.values()) or ANYTHING in fields.values():
        return _columns(batch.exact(), fields)
    return parts, strays


def _columns(records: list[Any], fields: Fields) -> tuple[dict[str, Column], Mapping[int, Any]]:
    strays = {}
    if set(map(type, records)) - {dict}:
        strays = {row: value for row, value in enumerate(records) if type(value) is not dict}
        records = [record if type(record) is dict else {} for record in records]
    parts = {}
    for key in set(chain.from_iterable(records)):
        kind = kind_of(key, fields)
        if kind is None or (kind is OUTLINE and all(record.get(BOX) for record in records)):
            continue
        absent = None
        try:
            values = [*map(itemgetter(key), records)]
        except KeyError:
            absent = np.fromiter((key not in record for record in records), bool, len(records))
            values = [record.get(key, kind.filler) for record in records]
        column, written = kind.decode(values)
        parts[key] = Column(column, absent, written)
    return parts, strays


def kind_of(key: str, fields: Fields) -> Kind | None:
    """What a field holds; None where it is of no use."""
    if key in fields:
        return fields[key]
    bare = _bare(key)
    is_flag = any(bare in words for name, words in _SPELLINGS.items() if name in fields)
    return FLAG if is_flag else None


def spellings_of(name: str, keys: Iterable[str]) -> list[str]:
    """Those of the keys, sorted, by which other tools write a flag."""
    words = _SPELLINGS.get(name, (name,))
    return sorted(key for key in keys if key != name and _bare(key) in words)


def _bare(key: str) -> str:
    return key.lower().replace("_", "").replace("-", "").replace(" ", "")
