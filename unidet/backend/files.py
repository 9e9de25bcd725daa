"""Files and links that are there whole or not at all, whoever else writes them at once."""

from __future__ import annotations

import os
from pathlib import Path


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
