"""YAML files of configuration (pages) in the user's folders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from unidet.errors import UserError

if TYPE_CHECKING:
    import yaml

MOST_ENTRIES = 5000
"""Limit of the files and folders visited in a searched folder."""
MOST_VALUES = 20_000
"""Limit of the values of a page with aliases expanded: OmegaConf makes an object of each."""


def pages_below(place: Path) -> list[Path]:
    """The YAML files below a folder, except those of a store.

    Raises:
        OverflowError: more than `MOST_ENTRIES` files and folders.
        OSError: a folder cannot be read.
    """
    pages, folders, seen = [], [place], 0
    while folders:
        folder = folders.pop()
        ours = ("store", "artefacts") if (folder / "store" / "v1").is_dir() else ()
        with os.scandir(folder) as entries:
            for entry in entries:
                seen += 1
                if seen > MOST_ENTRIES:
                    raise OverflowError(folder)
                if entry.name.endswith((".yaml", ".yml")):
                    pages.append(Path(entry.path))
                elif entry.name not in ours and entry.is_dir():
                    folders.append(Path(entry.path))
    return sorted(pages)


def check_aliases(places: Iterable[Path]) -> None:
    """Checks that the pages of these folders stay small when their YAML aliases are expanded.

    Raises:
        UserError: one does not: a few lines of nested aliases would take forever to expand.
    """
    import yaml

    for place in places:
        try:
            pages = pages_below(place)
        except (OSError, OverflowError):  # Hydra reports what is wrong with the folder
            continue
        for page in pages:
            text = page.read_text("utf-8", "replace")
            if "&" not in text or "*" not in text:
                continue
            try:
                is_small = _values(yaml.compose(text, yaml.SafeLoader), {}) <= MOST_VALUES
            except yaml.YAMLError:  # Hydra reports it
                continue
            except RecursionError:
                is_small = False
            if not is_small:
                raise UserError(
                    f"{page}: its aliases (*name) make more than {MOST_VALUES} values of it, the "
                    "most that a page may have; write out what is meant"
                )


def _values(node: yaml.Node | None, known: dict[int, int]) -> int:
    """Number of values below a node with aliases expanded; `known` caches counts by node id."""
    if id(node) not in known:
        known[id(node)] = 1  # a node that contains itself
        content = getattr(node, "value", ())
        children = content if isinstance(content, list) else ()
        pairs = [child if isinstance(child, tuple) else (child,) for child in children]
        known[id(node)] += sum(_values(part, known) for pair in pairs for part in pair)
    return known[id(node)]
