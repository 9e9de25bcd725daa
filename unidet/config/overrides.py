"""Parses key=value overrides and explains errors in them, before Hydra composes."""

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

# Lists, choices and what is in quotes already are left as they are. What Python reads as surrogates
# are bytes that are not UTF-8, which nobody could type into quotes as a message shows them.
_TEXT = re.compile(
    r"~(/|$)|(?=.*[^\x00-\x7f])[^'\"\\,()\[\]{}]*$|(?=.*[\udc80-\udcff])[^'\"]", re.DOTALL
)
_KEY = r"(?:\+\+?)?[A-Za-z_]\w*(?:[./@:]\w+)*"


def readable(override: str) -> str:
    """As Hydra can read it: in quotes what begins with `~/` or has letters beyond ASCII, even bytes
    that are no text, and `stage=proposals[val]`, where brackets would be a list, as
    `stage=proposals:val`. Whether `~` means home is up to the schema.
    """
    override = re.sub(r"^stage=(\w+)\[(.+)\]$", r"stage=\1:\2", override)
    key, _, value = override.partition("=")
    return f"{key}={quoted(value)}" if _TEXT.match(value) else override


def quoted(value: str) -> str:
    """`value` quoted for Hydra, with any content."""
    if not re.search(r"['\"\\]", value):
        return f"'{value}'"
    from hydra.core.override_parser.types import Quote, QuotedString

    quote = Quote.double if "'" in value and '"' not in value else Quote.single
    return QuotedString(value, quote).with_quotes()


def each_once(overrides: Sequence[str]) -> Sequence[str]:
    """The overrides, unchanged.

    The last of two values for one key would win silently. That is accepted for single values
    (`a.b=c`), because scripts put their own first.

    Raises:
        UserError: a key of the first level, or a page, is given twice with different values.
    """
    given: dict[str, str] = {}
    for override in overrides:
        key, equals, value = override.lstrip("+").partition("=")
        if equals and re.fullmatch(r"\w+", key) and given.setdefault(key, value) != value:
            raise UserError(f"{key}: is given twice, as {given[key]} and as {value}; give it once")
    return overrides


def refuse_launchers(overrides: Sequence[str]) -> None:
    """Refuses settings of Hydra itself: only a sweep has a launcher that reads them.

    Raises:
        UserError: the first of them that is not `hydra.searchpath`.
    """
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if re.match(r"hydra[./]", key) and key != "hydra.searchpath":
            raise UserError(
                f"{override}: settings of Hydra's launchers are for sweeps, which begin with -m; "
                "leave it out. Results are put into store.root"
            )


def require_whole(arguments: Sequence[str], *, alone: bool = False) -> None:
    """Refuses key=value that a shell has parted at its blanks, and keys that look like options.

    Args:
        alone: nothing but overrides may stand among the arguments.

    Raises:
        UserError: the first of them, and how it is written.
    """
    for place, argument in enumerate(arguments):
        if whole := _whole(argument, arguments[place + 1 :], alone):
            has_dashes = argument.startswith("--")
            what = "is no option, but a value" if has_dashes else "is not a whole key=value"
            raise UserError(f"{argument}: {what}; write it so: {whole}")


def _whole(argument: str, following: Sequence[str], alone: bool) -> str:
    """What was meant by an argument and those that follow, for a shell; empty if it is whole."""
    key, equals, value = argument.partition("=")
    first, second = (*following, "", "")[:2]
    if re.fullmatch(rf"--{_KEY}", key) and "." in key:
        value = value if equals or first.startswith("-") else first
    elif not re.fullmatch(_KEY, key):
        return ""
    elif not equals and first.startswith("="):
        value = first[1:] or second
    elif equals and not value and alone and first and not re.match(rf"-|{_KEY}=", first):
        value = first
    elif count := _parts(value, following):
        value = " ".join((value, *following[:count]))
    else:
        return ""
    whole = f"{key.lstrip('-')}={value or 'VALUE'}"
    return whole if re.fullmatch(r"[\w=+.:/-]+", whole, re.ASCII) else _for_shell(whole)


def _parts(value: str, following: Sequence[str]) -> int:
    """How many further arguments close the brackets that `value` opens; 0 if it opens none, or
    they do not."""
    depth = _depth(value)
    for count, part in enumerate(following if depth > 0 else (), start=1):
        depth += _depth(part)
        if depth <= 0:
            return count
    return 0


def _depth(text: str) -> int:
    return len(re.findall(r"[\[{(]", text)) - len(re.findall(r"[\]})]", text))


def parsed(override: str) -> Override:
    """An override as Hydra parses it.

    Raises:
        HydraException: it is not key=value, or its value cannot be parsed.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(readable(override))
    except ValueError as error:  # Python does not parse numbers of more than 4,300 digits
        raise HydraException(str(error)) from error


def texts_of(override: str) -> list[str]:
    """The text of an override's value, or the texts of a list."""
    value = parsed(override).value()
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def fault(override: str, sweep: bool) -> str:
    """Why an argument cannot be parsed as key=value; empty if it can."""
    from hydra.errors import HydraException

    key, equals, value = override.partition("=")
    if not (equals or key.startswith("~")):
        return (
            f"{override}: is neither key=value nor an option that may stand here; unidet config "
            "prints all keys"
        )
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
    whole = _for_shell(f"{key}={quoted(value)}")
    return f"{override}: the value {reason}, quote it: {whole}{_as_list_of_texts(key, value)}"


def _as_list_of_texts(key: str, value: str) -> str:
    """How a list is written whose texts Hydra cannot read; empty if `value` has other brackets
    than those around it, or quotes."""
    if not re.fullmatch(r"\[[^\[\]'\"\\]+\]", value):
        return ""
    parts = ", ".join(quoted(part.strip()) for part in value[1:-1].split(","))
    return f"; if it is a list of texts: {_for_shell(f'{key}=[{parts}]')}"


def _is_group(key: str) -> bool:
    """Whether a key chooses a page of a folder in `conf/`."""
    name = key.lstrip("+~").partition("@")[0]
    return bool(name) and resources.files("unidet.conf").joinpath(name).is_dir()


def _is_subtree(key: str) -> bool:
    """Whether a key of the first level has keys below it."""
    from unidet.config.study import Config

    kind = get_type_hints(Config).get(key)
    return is_dataclass(kind)


def _is_name(value: Any) -> bool:
    """Whether a value is the name of a page, or a list of such names."""
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _for_shell(argument: str) -> str:
    """An argument quoted for a shell."""
    if "!" in argument:
        return shlex.quote(argument)
    key, _, value = argument.partition("=")
    escaped = re.sub(r'(["\\$`])', r"\\\1", value)
    return f'{key}="{escaped}"'
