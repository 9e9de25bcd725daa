"""Validated reading of JSON files of artefacts, which may come from another store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from unidet.store.arrays import malformed, readable
from unidet.store.plain_json import parse_json

Taken = TypeVar("Taken")


def read_json(path: Path, take: Callable[[Any], Taken]) -> Taken:
    """Parse a JSON file and return `take(value)`.

    Raises:
        OSError: the file cannot be read.
        Malformed: it is not JSON, or `take` raises any exception.
    """
    with readable(path):
        return take(parse_json(path.read_bytes()))


class Numbers(dict[str, float]):
    """Numbers by name; a missing name raises Malformed with the path of the file."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        super().__init__({name: number(value) for name, value in values.items()})
        self._path = path

    def __missing__(self, name: str) -> float:
        malformed(self._path, f"there is no {name}")


def read_numbers(path: Path) -> Numbers:
    """A JSON object of numbers; raises as `read_json`."""
    return read_json(path, lambda values: Numbers(path, values))


def number(value: Any) -> float:
    """`value` if it is a number (or NaN); else TypeError, or OverflowError beyond float64."""
    if type(value) not in (int, float):
        raise TypeError(f"{value!r:.40} is not a number")
    float(value)
    return value


def text(value: Any) -> str:
    """`value` if it is a string; TypeError otherwise."""
    if type(value) is not str:
        raise TypeError(f"{value!r:.40} is not text")
    return value


def whole(value: Any) -> int:
    """`value` if it is an integer of 64 bits; TypeError or ValueError otherwise."""
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is not an integer")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value!r:.40} does not fit 64 bits")
    return value
