"""Files and links that are there whole or not at all, whoever else writes them at once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def changed(source: Path, changes: Iterable[tuple[str, str]]) -> str:
    """One of Jittor's sources, with what stands there once in place of what is to stand there.

    Raises:
        RuntimeError: it is not that of Jittor 1.3.11.
    """
    text = source.read_text("utf-8")
    for before, after in changes:
        if text.count(before) != 1:
            raise RuntimeError(f"{source} has not one {before!r}: not of Jittor 1.3.11")
        text = text.replace(before, after)
    return text


def write(path: Path, text: str) -> None:
    """The file with this text; untouched where it has it."""
    if path.is_file() and path.read_text("utf-8") == text:
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_text(text, "utf-8")
    partial.replace(path)


def link(path: Path, target: Path) -> None:
    """The symbolic link to `target`; untouched where it is that already."""
    if path.is_symlink() and path.readlink() == target:
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.symlink_to(target)
    partial.replace(path)
