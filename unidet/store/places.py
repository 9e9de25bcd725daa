"""What stands where a store has folders and files: links, which may lead to files of others, and
what is neither.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from unidet.errors import UserError
from unidet.store.disk import make_folder, nearest_folder
from unidet.store.paths import Layout
from unidet.store.walking import walk

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
    return sorted(path for path in _places(base) if path.is_symlink())


def no_folders(base: Path) -> list[Path]:
    """Files, pipes and devices in place of folders of the store, sorted; no links."""
    places = (path for path in _places(base) if path.parent != base or path.name in _TOP)
    return sorted(path for path in places if not path.is_dir() and not path.is_symlink())


def _places(base: Path) -> Iterator[Path]:
    """What stands in place of folders, but nothing where a link leads, which is not the store's."""
    links: set[Path] = set()
    for pattern in ("*", *_BELOW):  # each folder before those in it
        for path in base.glob(pattern):
            if links.isdisjoint(path.parents):
                links |= {path} if path.is_symlink() else set()
                yield path


def require_folders(layout: Layout) -> None:
    """Check, before long work, that its results have folders to go to.

    Raises:
        UserError: something else stands in place of one.
    """
    _require_folder(layout.artefacts)
    require_base(layout)
    broken = (path for path in linked_folders(layout.base) if not path.is_dir())
    for place in (*broken, *no_folders(layout.base)):
        raise UserError(f"{place} is not a folder, where the store needs one; {_remedy(place)}")


def require_base(layout: Layout) -> None:
    """Check that nothing else stands where the folder of the store belongs.

    Raises:
        UserError: it does.
    """
    _require_folder(layout.base.parent)
    _require_folder(layout.base)


def require_links(layout: Layout, key: str, folders: Iterable[Path]) -> None:
    """Check, before long work for a key, that its files can be linked into folders of the store.

    Raises:
        UserError: these are on another file system, or on one that knows no hard links.
    """
    probe, other = layout.private(key), layout.private(key)
    try:
        make_folder(probe.parent)
        probe.touch()
        os.chmod(probe, 0o444)
        os.link(probe, other)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        raise UserError(
            f"store {layout.root} is on a file system without hard links or without permissions "
            "of files; choose another with store.root=FOLDER"
        ) from error
    finally:
        probe.unlink(missing_ok=True)
        other.unlink(missing_ok=True)
    for folder in folders:
        if nearest_folder(folder).stat().st_dev != probe.parent.stat().st_dev:
            raise UserError(
                f"store {layout.root}: {folder} is on another file system than {layout.base}, and "
                "hard links join them; keep both on one: store.root=FOLDER"
            )


def _require_folder(place: Path) -> None:
    if os.path.lexists(place) and not place.is_dir():
        raise UserError(f"{place} is not a folder, where the store needs one; move it elsewhere")


def _remedy(place: Path) -> str:
    if place.is_symlink():
        return "remove the link"
    return "move it elsewhere" if place.name == "trash" else "run: unidet verify --repair"


def is_odd(path: Path) -> bool:
    """Whether there is a link, a pipe, a socket or a device: neither a plain file nor a folder."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def remove_odd(folder: Path) -> None:
    """Remove what `is_odd` anywhere below a folder; nothing follows links."""
    for place, folders, names in walk(folder):
        for path in (Path(place, name) for name in (*folders, *names)):
            if is_odd(path):
                path.unlink(missing_ok=True)
