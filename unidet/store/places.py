"""What stands where a store has folders: links, which may lead to files of others, and files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from unidet.errors import UserError
from unidet.store.paths import Layout

_TOP = ("blobs", "actions", "locks", "refs", "trash", "work", "stat-cache")
_HEX = "[0-9a-f]"
_BELOW = (
    "blobs/sha256",
    f"blobs/sha256/{_HEX}{_HEX}",
    f"actions/{_HEX}{_HEX}",
    f"actions/{_HEX}{_HEX}/{_HEX * 64}.differs",
    f"work/{_HEX * 64}",
    "refs/pins",
    "refs/runs",
    "refs/accepted",
    "refs/accepted/*",
    "trash/records",
    "trash/blobs",
)


def linked_folders(base: Path) -> list[Path]:
    """Links in place of folders of the store whose files lie in `base`, sorted."""
    found = {path for pattern in ("*", *_BELOW) for path in base.glob(pattern)}
    return sorted(path for path in found if path.is_symlink())


def no_folders(base: Path) -> list[Path]:
    """Files, pipes and devices in place of folders of the store, sorted; no links."""
    return sorted(path for path in _places(base) if not path.is_dir() and not path.is_symlink())


def _places(base: Path) -> Iterator[Path]:
    yield from (base / name for name in _TOP if os.path.lexists(base / name))
    for pattern in _BELOW:
        yield from base.glob(pattern)


def require_folders(layout: Layout) -> None:
    """Check, before long work, that its results have folders to go to.

    Raises:
        UserError: something else stands in place of one.
    """
    above = (layout.artefacts, layout.base.parent, layout.base)
    for place in (path for path in above if os.path.lexists(path) and not path.is_dir()):
        raise UserError(f"{place} is not a folder, where the store needs one; move it elsewhere")
    for place in (path for path in _places(layout.base) if not path.is_dir()):
        raise UserError(f"{place} is not a folder, where the store needs one; {_remedy(place)}")


def _remedy(place: Path) -> str:
    if place.is_symlink():
        return "remove the link"
    return "move it elsewhere" if place.name == "trash" else "run: unidet verify --repair"
