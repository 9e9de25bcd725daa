"""Files and folders of this machine, as users write them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from unidet.errors import UserError

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://|(sftp|ssh|s3|ftp|https?):/")
"""Also with one slash, as mistyped addresses of common protocols have it."""


def home_path(text: str) -> str:
    """`text`, its `~` at the start being home.

    Raises:
        ValueError: no disk can hold a file of this name, or nothing says where home is.
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
    """As `home_path`.

    Raises:
        ValueError: as there, or an address, of which a folder of that name would be made, its
            password in it.
    """
    if _ADDRESS.match(text):
        raise ValueError(
            "must be a file or folder of this machine, not an address; only remote= and --remote "
            "take one"
        )
    return home_path(text)


def cache_root() -> Path:
    """`$UNIDET_CACHE`, or `unidet` in the user's cache folder; need not exist yet.

    Raises:
        UserError: nothing says where it is, as in a container whose user has no home.
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
