"""A cache of composed configurations: equal overrides of equal pages are composed only once.

An entry is a small file in the user's cache folder, named after the digest of everything that
composing depends on: the content of every page in `conf/` and the searched folders, the overrides,
the code of this package, Python and the installed packages, and the home folder. Entries are
written atomically, validated when read, and may be deleted at any time. If the folder is not
writable, nothing is cached.

Compositions are not cached if they depend on more than pages and overrides (user pages with `${…}`,
which may read the environment, or `~user`; Hydra's own settings), if a searched folder has very
many files, if a value contains a password, or if pages were edited during composition.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import unidet.conf
from unidet import config
from unidet.config.pages import pages_below
from unidet.config.places import cache_root
from unidet.config.study import Config
from unidet.errors import UserError
from unidet.redaction import redact_argument
from unidet.store.disk import read_sealed, write_sealed
from unidet.store.hashing import digest, sha256_bytes
from unidet.store.plain_json import parse_json

FOLDER = "compositions"
MOST_KEPT = 200
_OPEN = re.compile(r"\$\{|~\w")
_SEARCH_PATH = re.compile(r"hydra\.searchpath=\['(/[^'\\$]*(?:','/[^'\\$]*)*)'\]")


def kept(overrides: Sequence[str], compose: Callable[[], Config]) -> Config:
    """The result of `compose` for these overrides, from the cache if possible."""
    name = _name(overrides)
    if name is None:
        return compose()
    try:
        path = cache_root() / FOLDER / f"{name}.json"
    except UserError:  # no home: nothing is cached
        return compose()
    composed = _read(path)
    if composed is None:
        composed = compose()
        if _name(overrides) == name:
            _write(path, composed)
    return composed


# --- what a composition depends on -------------------------------------------------------------


def _name(overrides: Sequence[str]) -> str | None:
    """Digest of everything that composing these overrides depends on; None if that is unknown."""
    own: list[str] = []
    for override in overrides:
        searched = _SEARCH_PATH.fullmatch(override)
        if searched:
            own += searched[1].split("','")
        elif _OPEN.search(override) or override.lstrip("+~").startswith("hydra"):
            return None
    try:
        ours, others = _read_pages(unidet.conf.__path__), _read_pages(own)
    except (OSError, OverflowError):
        return None
    if any(_OPEN.search(text.decode(errors="replace")) for text in others.values()):
        return None
    pages = [(page, sha256_bytes(text)) for page, text in (ours | others).items()]
    given = json.dumps(list(overrides))  # ASCII, with any characters in the overrides
    return digest([_program(), pages, given, os.path.expanduser("~")])


def _read_pages(places: Iterable[str]) -> dict[str, bytes]:
    return {str(page): page.read_bytes() for place in places for page in pages_below(Path(place))}


@cache
def _program() -> list[Any]:
    """The code that this process has loaded, and its environment; later edits do not count."""
    installed = {name for place in sys.path if os.path.isdir(place) for name in os.listdir(place)}
    sources = sorted(path for place in config.__path__ for path in Path(place).glob("*.py"))
    return [
        sys.version,
        sorted(name for name in installed if name.endswith((".dist-info", ".egg-info"))),
        [sha256_bytes(path.read_bytes()) for path in sources],
    ]


# --- the file ----------------------------------------------------------------------------------


def _read(path: Path) -> Config | None:
    data = read_sealed(path)
    if data is None:
        return None
    try:
        name, plain = parse_json(data)
        composed = _value(plain)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None
    return composed if name == path.stem and type(composed) is Config else None


def _write(path: Path, composed: Config) -> None:
    """Writes an entry without passwords, and removes the oldest ones beyond `MOST_KEPT`."""
    plain = _plain(composed)
    text = json.dumps([path.stem, plain])
    secret = any(redact_argument(part) != part for part in _texts(plain))
    if not secret and _value(json.loads(text)[1]) == composed:
        write_sealed(path, text.encode())
    with suppress(OSError):
        for old in sorted(path.parent.glob("*.json"), key=os.path.getmtime)[:-MOST_KEPT]:
            old.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """As JSON: a dataclass as {"is": name, "has": fields}, a mapping as {"has": items}."""
    kind = type(value)
    if is_dataclass(kind):
        name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
        return {"is": name, "has": {f.name: _plain(getattr(value, f.name)) for f in fields(kind)}}
    if isinstance(value, dict):
        return {"has": {key: _plain(item) for key, item in value.items()}}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _texts(plain: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(plain, dict):
        plain = [*plain, *plain.values()]
    if isinstance(plain, list):
        for item in plain:
            yield from _texts(item)
    elif isinstance(plain, str):
        yield plain


def _value(plain: Any) -> Any:
    """The inverse of `_plain`; invalid data raises one of several errors."""
    if isinstance(plain, list):
        return tuple(map(_value, plain))
    if not isinstance(plain, dict):
        return plain
    values = {key: _value(item) for key, item in plain["has"].items()}
    if "is" not in plain:
        return values
    module, _, name = plain["is"].partition(".")
    kind = vars(sys.modules[f"{config.__name__}.{module}"])[name]
    if not isinstance(kind, type) or values.keys() != {item.name for item in fields(kind)}:
        raise ValueError(name)
    return kind(**values)
