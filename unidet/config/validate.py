"""Validates composed values into the typed configuration, with one line per error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from unidet.config.study import Config
from unidet.errors import UserError, suggestion

if TYPE_CHECKING:
    from pydantic import TypeAdapter

Schema = TypeVar("Schema")


def build_config(values: Mapping[str, Any]) -> Config:
    """The typed configuration of a study from plain values; errors as in `build`."""
    return build(Config, values)


def build(schema: type[Schema], values: Mapping[str, Any]) -> Schema:
    """Validates plain values into a dataclass of the schema.

    Raises:
        UserError: one line that names the key and the allowed values.
    """
    from pydantic import ValidationError

    try:
        built: Schema = _adapter(cast(Any, schema)).validate_python(dict(values))
    except ValidationError as error:
        # Misspelt keys come first: they are the reason why others are missing.
        problems = sorted(
            error.errors(include_url=False),
            key=lambda problem: problem["type"] != "unexpected_keyword_argument",
        )
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(_line(schema, problems[0]) + more) from None
    _refuse_flags(values, built, ())
    return built


@cache
def _adapter(schema: type) -> TypeAdapter[Any]:
    """Validator of a schema, kept: building one takes a third of the time of a composition."""
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def _refuse_flags(value: Any, built: Any, keys: tuple[str, ...]) -> None:
    """UserError for true or false in place of a number: pydantic accepts them as 1 and 0."""
    if isinstance(value, bool) and not isinstance(built, bool):
        raise UserError(f"{'.'.join(keys)}: Input should be a number, got {value}")
    if isinstance(value, Mapping):
        for key, part in value.items():
            own = built[key] if isinstance(built, Mapping) else getattr(built, str(key))
            _refuse_flags(part, own, (*keys, str(key)))
    elif isinstance(value, list | tuple):
        for row, (part, own) in enumerate(zip(value, built, strict=True)):
            _refuse_flags(part, own, (*keys, str(row)))


def _line(schema: type, problem: Mapping[str, Any]) -> str:
    *path, last = problem["loc"]
    holder, keys = _walk(schema, path)
    if problem["type"] == "unexpected_keyword_argument":
        known = [item.name for item in fields(holder)]
        if choices := _choices_with(str(last), _walk(schema, path[:-1])[0]):
            where = ".".join(keys)
            needed = " or ".join(f"{where}.{choice}" for choice in choices)
            return (
                f"{where}.{last}: only {needed} has this key; here {where} has {', '.join(known)}"
            )
        return unknown_key(schema, [*keys, str(last)], known)
    if problem["type"] in ("missing", "missing_argument"):
        allowed = get_args(_hints_of(holder).get(str(last)))
        choice = f"; it is one of {', '.join(map(str, allowed))}" if allowed else ""
        return f"{'.'.join([*keys, str(last)])}: must be given{choice}"
    tagged = _variants(holder).get(str(last)) is not None
    key = ".".join(keys if tagged else [*keys, str(last)])
    if problem["type"] == "value_error":  # from `__post_init__` or a `Check` of ours
        return f"{'.'.join([*keys, str(last)])}: {problem['ctx']['error']}"
    value = problem["input"]
    got = "" if isinstance(value, dict | list) else f", got {_shown(value)}"
    return f"{key}: {problem['msg']}{got}{_hint(key, problem)}"


def _shown(value: Any) -> str:
    """A value as text for a message; Python cannot print integers of more than 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


def _hint(key: str, problem: Mapping[str, Any]) -> str:
    """A suggestion for a misspelt or unquoted value; empty without one."""
    if problem["type"] == "literal_error":
        allowed = re.findall(r"'([^']+)'", problem["ctx"]["expected"])
        hint = suggestion(str(problem["input"]), allowed).rstrip()
        return f"; {hint}" if hint else ""
    if problem["type"] == "string_type":
        return f"; text that looks like something else is quoted: {key}=\"'…'\""
    return ""


def unknown_key(schema: type, keys: list[str], known: list[str]) -> str:
    """The message about a dotted key of a schema whose last part is not in `known`.

    Keys further below that end in this part are meant more likely than words that look alike.
    """
    *above, wrong = keys
    message = f"{'.'.join(keys)}: unknown key {wrong!r}; "
    below = (path for path in _keys(schema) if path[-1] == wrong and path[: len(above)] == above)
    if meant := sorted({".".join(path) for path in below}):
        return f"{message}did you mean {' or '.join(meant)}?"
    where = ".".join(above) or "the configuration"
    return f"{message}{suggestion(wrong, known)}{where} has {', '.join(known)}"


def _keys(holder: Any) -> Iterator[list[str]]:
    """All dotted keys of a schema, with those of every variant of its unions."""
    for name, hint in _hints_of(holder).items():
        yield [name]
        for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
            yield from ([name, *path] for path in _keys(kind))


def _walk(schema: type, path: list[str | int]) -> tuple[Any, list[str]]:
    """The type at a pydantic location, and the location as dotted keys.

    Pydantic inserts the tag of the chosen variant after the name of a union; keys do not have it.
    """
    holder: Any = schema
    keys: list[str] = []
    for part in path:
        variant = _variants(holder).get(str(part))
        if variant is not None:
            holder = variant
            continue
        keys.append(str(part))
        hints = _hints_of(holder)
        holder = _given(hints.get(str(part), next(iter(reversed(get_args(holder))), None)))
    return holder, keys


def _hints_of(holder: Any) -> dict[str, Any]:
    """Type hints of a dataclass's fields; empty for other types, such as tuples."""
    return get_type_hints(holder) if is_dataclass(holder) else {}


def _given(kind: Any) -> Any:
    """The type without None, if it is `kind | None`; else `kind`."""
    members = [member for member in get_args(kind) if member is not type(None)]
    return members[0] if len(members) == 1 < len(get_args(kind)) else kind


def _variants(union: Any) -> dict[str, Any]:
    """Tag -> dataclass of a tagged union; empty for any other type."""
    return {tag: member for member in get_args(union) for _, tag in _tags(member)}


def _choices_with(key: str, union: Any) -> list[str]:
    """`kind=toy` for every variant of a tagged union that has this key; none for other types."""
    members = [member for member in get_args(union) if key in _hints_of(member)]
    return [f"{name}={tag}" for member in members for name, tag in _tags(member)]


def _tags(member: Any) -> Iterator[tuple[str, str]]:
    """The name and each value of the field that selects a variant."""
    hints = _hints_of(member)
    for name in ("kind", "source"):
        yield from ((name, tag) for tag in get_args(hints.get(name)))
