"""Safe reading of JSON that may come from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, TypeVar

MAX_DEPTH = 32
_KINDS = {"str": str, "int": int}

Record = TypeVar("Record")


def parse_json(data: bytes | str) -> Any:
    """Parse JSON.

    Raises:
        ValueError: it is not JSON, or is nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise
    except ValueError:  # Python converts no number of more than 4,300 digits
        raise ValueError("a number of thousands of digits") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for one in level if type(one) in (dict, list) for child in _children(one)]
        if not level:
            return value
    raise ValueError("nested too deeply")


def _children(value: Any) -> Iterable[Any]:
    return value.values() if type(value) is dict else value


def parse_record(kind: type[Record], data: bytes) -> Record:
    """Parse a dataclass of strings and integers from a JSON object with exactly its fields.

    Raises:
        ValueError: it is anything else.
    """
    return to_record(kind, parse_json(data))


def to_record(kind: type[Record], values: Any) -> Record:
    """The same from parsed JSON.

    Raises:
        ValueError: it is anything else.
    """
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
