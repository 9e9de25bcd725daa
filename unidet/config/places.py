"""Paths that users give for files and folders of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from unidet.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://|(sftp|ssh|s3|ftp|https?):/")
"""With one slash too: common protocols are often mistyped in this way."""
_OF_SCP = re.compile(r"[^/]+@[^/]+:")
"""As in user@host:folder; a file may have such a name."""


def home_path(text: str) -> str:
    """`text` with `~` at its start replaced by the home folder.

    Raises:
        ValueError: the text cannot be a file name, or the home folder is unknown.
    """
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ValueError("holds a character that no name of a file can hold")
    path = os.path.expanduser(text)
    if path.partition("/")[0] == "~":
        raise ValueError("begins with ~, but HOME is not set and this user has no home folder")
    return path


def local_path(text: str) -> str:
    """As `home_path`, for paths that must not be addresses.

    An address would create a folder with its name, password included.

    Raises:
        ValueError: as in `home_path`, or the text is an address.
    """
    if _ADDRESS.match(text) or (_OF_SCP.match(text) and not os.path.lexists(text)):
        raise ValueError(
            "must be a file or folder of this machine, not an address; only remote= and --remote "
            "take one"
        )
    return home_path(text)


def cache_root() -> Path:
    """`$UNIDET_CACHE`, or `unidet` in the user's cache folder; it may not exist yet.

    Raises:
        UserError: the home folder is unknown, as for a container's user without one.
    """
    chosen = os.environ.get("UNIDET_CACHE")
    base = chosen or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        place = Path(home_path(base)).absolute()
    except ValueError:
        raise UserError(
            "HOME is not set and this user has no home folder; set UNIDET_CACHE to a folder for "
            "what is compiled"
        ) from None
    return place if chosen else place / "unidet"
