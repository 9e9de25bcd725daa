"""Digest of all source code that a module imports, directly or indirectly, from its own package.

Files are found by path and parsed, never imported. Formatting, comments, docstrings, the order of
consecutive imports and type-only imports do not change the digest. The same source gives the same
digest in a checkout, an editable install and a wheel, on all supported Python versions. Files other
than Python source are not part of it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from unidet.store.derived import read_derived
from unidet.store.disk import write_sealed
from unidet.store.stat_cache import SETTLED_NS
from unidet.store.syntax import VERSION, Source, read_source


class Sources:
    """Sources of modules, each found and read once.

    Edits during a run therefore affect only the next run; this one uses the code it has loaded.
    """

    def __init__(self, cache: Path | None = None) -> None:
        """`cache`: a file for results of parsing, which are valid for a size, inode and times."""
        self._locate = _Locator()
        self._remembered = _Remembered(cache)
        self._read: dict[str, Source] = {}

    def closure(self, module: str, exclude: Collection[str] = ()) -> dict[str, str]:
        """Module name -> digest of its code, for `module` and all it imports from its own package.

        Imports inside functions are included, and so are the parent packages of a submodule.
        `exclude` names modules and packages that are neither included nor followed.

        Raises:
            ModuleNotFoundError: `module` or an imported module has no source file.
            SyntaxError: a source file does not parse.
        """
        found: dict[str, str] = {}
        pending = [module]
        while pending:
            name = pending.pop()
            if name in found or _within(name, exclude):
                continue
            path = self._locate(name)
            if path is None:
                raise ModuleNotFoundError(f"{name} has no source file", name=name)
            source = self._source(name, path)
            found[name] = source.digest
            pending.extend(_parents(name))
            pending.extend(source.imports)
            # `from package import name` may import a submodule or something else.
            pending.extend(target for target in source.perhaps if self._locate(target) is not None)
        self._remembered.save()
        return dict(sorted(found.items()))

    def _source(self, name: str, path: Path) -> Source:
        if name not in self._read:
            found = os.stat(path)
            state = [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]
            source = self._remembered.get(path, state)
            if source is None:
                source = read_source(path.read_bytes(), name, path.name == "__init__.py")
                self._remembered.put(path, state, source)
            self._read[name] = source
        return self._read[name]


def _parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _within(name: str, packages: Collection[str]) -> bool:
    return any(name == one or name.startswith(f"{one}.") for one in packages)


class _Locator:
    """Finds the source file of a module; None where it has none.

    Submodules are looked up in the folder of their package. Only the top package, and packages that
    an editable install maps to other places, are looked up by the import system, which loads
    nothing but the top package.
    """

    def __init__(self) -> None:
        self._known: dict[str, Path | None] = {}

    def __call__(self, name: str) -> Path | None:
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def _find(self, name: str) -> Path | None:
        parent, _, last = name.rpartition(".")
        if parent:
            package = self(parent)
            if package is None or package.name != "__init__.py":
                return None
            for path in (package.parent / last / "__init__.py", package.parent / f"{last}.py"):
                if path.is_file():
                    return path
            if "." in parent:
                return None
        return _origin(name)


def _origin(name: str) -> Path | None:
    found = importlib.util.find_spec(name)
    return Path(found.origin) if found is not None and found.origin is not None else None


_KEPT = (int, {str: ([int], str, [str], [str])})  # version, path -> state and Source


class _Remembered:
    """Parsed sources of earlier processes, in one file that may be deleted at any time."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, Any] | None = None
        self._changed = False

    def get(self, path: Path, state: list[int]) -> Source | None:
        row = self._load().get(str(path))
        if row is None or row[0] != state:
            return None
        return Source(row[1], tuple(row[2]), tuple(row[3]))

    def put(self, path: Path, state: list[int], source: Source) -> None:
        if max(state[2:]) < time.time_ns() - SETTLED_NS:
            self._load()[str(path)] = [state, source.digest, source.imports, source.perhaps]
            self._changed = True

    def save(self) -> None:
        if self._path is not None and self._changed:
            write_sealed(self._path, json.dumps([VERSION, self._load()]).encode())
            self._changed = False

    def _load(self) -> dict[str, Any]:
        if self._rows is not None:
            return self._rows
        kept = read_derived(self._path, _KEPT) if self._path is not None else None
        self._rows = rows = kept[1] if kept is not None and kept[0] == VERSION else {}
        return rows
