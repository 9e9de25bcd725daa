"""Output names that some disks take for one: those that know no capitals, or compose accents."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from unicodedata import normalize

from unidet.errors import UserError
from unidet.store.disk import nearest_folder

_PROBES = ("ä", "Ä", "a\u0308")


def require_told_apart(folder: Path, names: Iterable[str]) -> None:
    """Check that no output would replace another on the disk of `folder`, which need not exist.

    Args:
        names: paths relative to it, each once.

    Raises:
        UserError: two of them are one file there, or the disk cannot be written.
    """
    spelt: dict[str, str] = {}
    for name in names:
        other = spelt.setdefault(normalize("NFC", name).casefold(), name)
        if other != name:
            if tells_apart(nearest_folder(folder)):
                return
            raise UserError(
                f"{folder}: its disk takes {other} and {name} for one name, so that one output "
                "would replace the other; rename an image, or choose a folder on another disk"
            )


def tells_apart(folder: Path) -> bool:
    """Whether names that differ in capitals, or in how accents are composed, are two files here."""
    try:
        with TemporaryDirectory(prefix=".", dir=folder) as scratch:
            for name in _PROBES:
                Path(scratch, name).touch()
            return len(os.listdir(scratch)) == len(_PROBES)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from error
