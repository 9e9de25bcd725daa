"""Files and folders of this machine, as people write them."""

from __future__ import annotations

import os
import re

_ADDRESS = re.compile(r"[A-Za-z][\w+.-]*://")


def local_path(text: str) -> str:
    """`text`, its `~` at the start being home.

    Raises:
        ValueError: an address, of which a folder of that name would be made, its password in it.
    """
    if _ADDRESS.match(text):
        raise ValueError(
            "must be a file or folder of this machine, not an address; only remote= and --remote "
            "take one"
        )
    return os.path.expanduser(text)
