"""Files and links that are written atomically, also beside other processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def changed(source: Path, changes: Iterable[tuple[str, str]]) -> str:
    """The text of a Jittor source with replacements (old, new), each of which occurs once.

    Raises:
        RuntimeError: an old text does not occur exactly once: not Jittor 1.3.11.
    """
    text = source.read_text("utf-8")
    for before, after in changes:
        if text.count(before) != 1:
            raise RuntimeError(f"{source} has not one {before!r}: not of Jittor 1.3.11")
        text = text.replace(before, after)
    return text


def write(path: Path, text: str) -> None:
    """Writes `text`, unless the file already has it."""
    if path.is_file() and path.read_text("utf-8") == text:
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def link(path: Path, target: Path) -> None:
    """Makes a symbolic link to `target`, unless it already exists."""
    if path.is_symlink() and path.readlink() == target:
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.symlink_to(target)
    partial.replace(path)
