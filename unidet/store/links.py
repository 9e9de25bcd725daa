"""Links where a store has folders; they may lead to files that are not the store's."""

from __future__ import annotations

from pathlib import Path

_FOLDERS = (
    "*",
    "blobs/sha256",
    "blobs/sha256/??",
    "actions/??",
    "refs/*",
    "refs/accepted/*",
    "trash/records",
    "trash/blobs",
)


def linked_folders(base: Path) -> list[Path]:
    """Links in place of folders of the store whose files lie in `base`, sorted."""
    found = {path for pattern in _FOLDERS for path in base.glob(pattern) if path.is_symlink()}
    return sorted(found)
