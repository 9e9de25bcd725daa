"""Lists what is below a folder, however deeply somebody has nested folders there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

PATH_BYTES = 1024  # of the path of a file in an artefact, a limit of file systems


def ignore_missing(error: OSError) -> None:
    """Error handler of `os.walk` that ignores folders which another process has just removed.

    Raises:
        OSError: the folder exists but cannot be listed.
    """
    if not isinstance(error, FileNotFoundError):
        raise error


def files_below(
    folder: Path, unlisted: Callable[[OSError], None] = ignore_missing
) -> Iterator[Path]:
    """Files and links below a folder; `unlisted` is called for folders that cannot be listed.

    Of folders nested more deeply than `walk` looks, only the first is among them.
    """
    for place, folders, names in walk(folder, unlisted):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        yield from (Path(place, name) for name in (*names, *links))


def unopened(folder: Path) -> Iterator[Path]:
    """The folders that `walk` does not look into."""
    for place, _, names in walk(folder):
        if _is_deep(place, folder):
            inside = (Path(place, name) for name in names)
            yield from (path for path in inside if path.is_dir() and not path.is_symlink())


def walk(
    folder: Path, unlisted: Callable[[OSError], None] = ignore_missing
) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, but a folder below a longer path than files of artefacts have is not looked
    into and stands among the files: Python and the system give up where folders nest too deeply.
    """
    for place, folders, names in os.walk(folder, onerror=unlisted):
        if _is_deep(place, folder):
            names += folders
            folders.clear()
        yield place, folders, names


def _is_deep(place: str, folder: Path) -> bool:
    return len(place) - len(os.fspath(folder)) > PATH_BYTES
