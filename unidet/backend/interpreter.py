"""Runs Python in a separate process with the modules of this installation."""

from __future__ import annotations

import sys

# With -c and -m Python searches the current folder first. Files there may have the names of
# modules: random.py, utils.py, a checkout named unidet.
_WITHOUT_FOLDER = "import sys\nif sys.path[:1] == ['']:\n    del sys.path[0]\n"


def python_command(code: str, *arguments: str) -> list[str]:
    """The command that runs `code`, independent of the current folder's content."""
    return [sys.executable, "-c", _WITHOUT_FOLDER + code, *arguments]
