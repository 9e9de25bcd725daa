"""JSON that a stage has left in its artefact, which may come from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from unidet.store.arrays import malformed, readable
from unidet.store.plain_json import parse_json

Taken = TypeVar("Taken")


def read_json(path: Path, take: Callable[[Any], Taken]) -> Taken:
    """What `take` makes of the value, which it refuses by whatever it raises.

    Raises:
        OSError: it cannot be read.
        Malformed: it is no JSON, or is refused.
    """
    with readable(path):
        return take(parse_json(path.read_bytes()))


class Numbers(dict[str, float]):
    """Numbers by name; one that is asked for and is not there says which file lacks it."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        super().__init__({name: number(value) for name, value in values.items()})
        self._path = path

    def __missing__(self, name: str) -> float:
        malformed(self._path, f"there is no {name}")


def read_numbers(path: Path) -> Numbers:
    """A JSON object of numbers; raises as `read_json`."""
    return read_json(path, lambda values: Numbers(path, values))


def number(value: Any) -> float:
    """The number that it is, NaN included; TypeError, or OverflowError past float64."""
    if type(value) not in (int, float):
        raise TypeError(f"{value!r:.40} is no number")
    float(value)
    return value


def text(value: Any) -> str:
    """The text that it is; TypeError for anything else."""
    if type(value) is not str:
        raise TypeError(f"{value!r:.40} is no text")
    return value


def whole(value: Any) -> int:
    """The whole number of int64 that it is; TypeError, ValueError for anything else."""
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is no whole number")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{value!r:.40} does not fit 64 bits")
    return value
