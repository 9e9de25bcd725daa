"""The text of key=value overrides, before Hydra reads it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import is_dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, get_type_hints

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

from unidet.errors import UserError


def readable(override: str) -> str:
    """As Hydra can read it: `~/…` in quotes, and `stage=proposals[val]`, where brackets would be a
    list, as `stage=proposals:val`. Whether `~` means home is up to the schema.
    """
    override = re.sub(r"^stage=(\w+)\[(.+)\]$", r"stage=\1:\2", override)
    key, _, value = override.partition("=")
    return f"{key}={quoted(value)}" if re.match("~(/|$)", value) else override


def quoted(value: str) -> str:
    """Text quoted for Hydra, whatever it contains."""
    if not re.search(r"['\"\\]", value):
        return f"'{value}'"
    from hydra.core.override_parser.types import Quote, QuotedString

    quote = Quote.double if "'" in value and '"' not in value else Quote.single
    return QuotedString(value, quote).with_quotes()


def each_once(overrides: Sequence[str]) -> Sequence[str]:
    """The overrides as they are; UserError where what is run, or a page, is given in two ways: the
    last one would win in silence. Of single values (`a.b=c`) it may, as a script's own come first.
    """
    given: dict[str, str] = {}
    for override in overrides:
        key, equals, value = override.lstrip("+").partition("=")
        if equals and re.fullmatch(r"\w+", key) and given.setdefault(key, value) != value:
            raise UserError(f"{key}: is given twice, as {given[key]} and as {value}; give it once")
    return overrides


def parsed(override: str) -> Override:
    """What Hydra reads in an argument.

    Raises:
        HydraException: it is not key=value, or its value cannot be read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(readable(override))
    except ValueError as error:  # Python reads no number of more than 4,300 digits
        raise HydraException(str(error)) from error


def texts_of(override: str) -> list[str]:
    """The text, or the texts of a list, that an override gives its key."""
    value = parsed(override).value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def fault(override: str, sweep: bool) -> str:
    """Why an argument cannot be read as key=value; empty if it can."""
    from hydra.errors import HydraException

    key, equals, value = override.partition("=")
    if not (equals or key.startswith("~")):
        return f"{override}: is neither key=value nor an option that may stand here"
    if not key:
        return f"{override}: names no key; see: unidet config"
    try:
        read = parsed(override)
        if not read.is_sweep_override():
            if equals and _is_group(key) and not _is_name(read.value()):
                return f"{override}: takes a name; single values are given like {key}.key=value"
            if equals and isinstance(read.value(), list) and _is_subtree(key):
                return f"{override}: takes no value itself; they are given like {key}.key=value"
            return ""
        if sweep:
            return ""
        reason = "is several values, for which -m comes first; if it is one"
    except HydraException:
        reason = "cannot be read; if it is text"
    try:
        parsed(f"{key}={quoted(value)}")
    except HydraException:
        return f"{override}: is not key=value; a key is names with dots, like rpn.training.steps"
    return f"{override}: the value {reason}, quote it: {_for_shell(f'{key}={quoted(value)}')}"


def _is_group(key: str) -> bool:
    """Whether a key chooses among the files of a folder in `conf/`."""
    name = key.lstrip("+~").partition("@")[0]
    return bool(name) and resources.files("unidet.conf").joinpath(name).is_dir()


def _is_subtree(key: str) -> bool:
    """Whether a first-level key has keys below it."""
    from unidet.config.study import Config

    kind = get_type_hints(Config).get(key)
    return is_dataclass(kind)


def _is_name(value: Any) -> bool:
    """Whether it is the name of a page, or names of several."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _for_shell(argument: str) -> str:
    """An argument as it is typed into a shell."""
    if "!" in argument:
        return shlex.quote(argument)
    key, _, value = argument.partition("=")
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'{key}="{escaped}"'
