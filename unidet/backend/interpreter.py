"""Python in a process of its own, with this installation's modules."""

from __future__ import annotations

import sys

# With -c and -m Python looks for modules in the current folder first, where a user may keep files
# or folders that are called as modules: random.py, utils.py, a checkout named unidet.
_WITHOUT_FOLDER = "import sys\nif sys.path[:1] == ['']:\n    del sys.path[0]\n"


def python_command(code: str, *arguments: str) -> list[str]:
    """The command that runs `code`, whatever lies in the current folder."""
    return [sys.executable, "-c", _WITHOUT_FOLDER + code, *arguments]
