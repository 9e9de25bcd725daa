"""Building blocks of the schema: ranges of numbers, and fields that do not affect results.

The schema consists of plain dataclasses. Pydantic is imported only for validation
(`config.validate`), because its import takes longer than most commands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field, fields, is_dataclass
from typing import Annotated, Any

from unidet.config.places import home_path, local_path

SCHEMA = {"extra": "forbid", "allow_inf_nan": False}
"""Pydantic's `__pydantic_config__` for the root class of a schema; nested classes inherit it."""


class Within:
    """Limits of a number (gt, ge, le, multiple_of) or the pattern of a text."""

    def __init__(self, **limits: float | str) -> None:
        self._limits = limits

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        return handler(source) | self._limits


class Check:
    """A function that validates a parsed value: returns it, or raises ValueError."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self._function = function

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import no_info_after_validator_function

        return no_info_after_validator_function(self._function, handler(source))


class Tagged:
    """A union of dataclasses; the value of this field selects the class."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic import Field

        return handler(Annotated[source, Field(discriminator=self._name)])


MOST = 2**63 - 1  # the largest int64, for arrays and kernels
Positive = Annotated[int, Within(gt=0, le=MOST)]
NonNegative = Annotated[int, Within(ge=0, le=MOST)]
Seed = Annotated[int, Within(ge=0, le=2**31 - 1)]  # numpy takes 32 bits; processes add to it
Rate = Annotated[float, Within(gt=0)]
Weight = Annotated[float, Within(ge=0)]
Fraction = Annotated[float, Within(ge=0, le=1)]
Triple = tuple[float, float, float]
_Deviation = Annotated[float, Within(ge=1)]
Deviations = tuple[_Deviation, _Deviation, _Deviation]
"""Standard deviations of 8-bit values: those of values in 0..1 are below 1, and refused."""


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return text


def visible(name: str) -> str:
    """`name`; ValueError where it has characters that cannot be seen."""
    if not name.isprintable():  # \w has letters without a form of their own, such as U+200C
        raise ValueError(f"must have no invisible characters, got {name!a}")
    return name


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must name a folder; empty it would be the current one")
    return text


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range is [from, to], got [{pair[0]:g}, {pair[1]:g}]")
    return pair


def _positive_first(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] < pair[1]:
        raise ValueError(
            "the first IoU makes an anchor positive, the second, not above it, negative, "
            f"got [{pair[0]:g}, {pair[1]:g}]"
        )
    return pair


Sizes = Annotated[tuple[Rate, Rate], Check(_ascending)]
Factors = Annotated[tuple[Weight, Weight], Check(_ascending)]
Fractions = Annotated[tuple[Fraction, Fraction], Check(_ascending)]
AnchorIoU = Annotated[tuple[Fraction, Fraction], Check(_positive_first)]
"""IoU from which an anchor is positive, and below which it is negative."""
Pixels = Annotated[tuple[Positive, Positive], Check(_ascending)]
Expression = Annotated[str, Check(_expression)]
FilePath = Annotated[str, Check(local_path)]
"""A file or folder. `~` at the start is expanded, because shells do not expand it after `key=`."""
StoreAddress = Annotated[str, Check(home_path)]
"""A path as above, or an address."""
FolderPath = Annotated[FilePath, Check(_not_empty)]


def free(default: Any) -> Any:
    """A field that does not affect results and is not part of keys."""
    return field(default=default, metadata={"identity": False})


def identity(value: Any) -> Any:
    """The part of a configuration value that affects results, as plain data."""
    if is_dataclass(value):
        kept = (item for item in fields(value) if item.metadata.get("identity", True))
        return {item.name: identity(getattr(value, item.name)) for item in kept}
    if isinstance(value, Mapping):
        return {key: identity(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    return value
