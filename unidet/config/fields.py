"""How a field of the schema is written: number ranges, and what a result depends on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from unidet.config.places import local_path

SCHEMA = ConfigDict(extra="forbid", allow_inf_nan=False)

Positive = Annotated[int, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Triple = tuple[float, float, float]


def _expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from None
    return text


def _not_empty(text: str) -> str:
    if not text:
        raise ValueError("must name a folder; empty it would be the current one")
    return text


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"a range is [from, to], got [{pair[0]:g}, {pair[1]:g}]")
    return pair


Sizes = Annotated[tuple[Rate, Rate], AfterValidator(_ascending)]
Factors = Annotated[tuple[Weight, Weight], AfterValidator(_ascending)]
Fractions = Annotated[tuple[Fraction, Fraction], AfterValidator(_ascending)]
Pixels = Annotated[tuple[Positive, Positive], AfterValidator(_ascending)]
Expression = Annotated[str, AfterValidator(_expression)]
FilePath = Annotated[str, AfterValidator(local_path)]
"""A file or folder; `~` at its start means home, as a shell does not see it after `key=`."""
StoreAddress = Annotated[str, AfterValidator(os.path.expanduser)]
"""Such a path, or an address."""
FolderPath = Annotated[FilePath, AfterValidator(_not_empty)]


def free(default: Any) -> Any:
    """A field that is not part of a result's identity."""
    return field(default=default, metadata={"identity": False})


def identity(value: Any) -> Any:
    """What a result depends on in a configuration value: plain data without free fields."""
    if is_dataclass(value):
        kept = (item for item in fields(value) if item.metadata.get("identity", True))
        return {item.name: identity(getattr(value, item.name)) for item in kept}
    if isinstance(value, Mapping):
        return {key: identity(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    return value
