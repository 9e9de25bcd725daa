"""JSON that somebody else may have written, read so that nothing in it can do harm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

MAX_DEPTH = 32
_KINDS = {"str": str, "int": int}

Record = TypeVar("Record")


def parse_json(data: bytes | str) -> Any:
    """The value.

    Raises:
        ValueError: it is no JSON, or is nested too deeply to be anything of ours.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level if type(one) in (dict, list) for child in _children(one)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _children(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value


def parse_record(kind: type[Record], data: bytes) -> Record:
    """A dataclass of texts and whole numbers, from a JSON object with just its fields.

    Raises:
        ValueError: it is anything else.
    """
    values = parse_json(data)
    if type(values) is not dict:
        raise ValueError("not a JSON object")
    for item in fields(kind):  # type: ignore[arg-type]
        wanted = _KINDS.get(str(item.type))
        if wanted is not None and type(values.get(item.name)) is not wanted:
            raise ValueError(f"{item.name} is missing or has the wrong type")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error)) from None
