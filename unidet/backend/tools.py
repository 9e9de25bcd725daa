"""Compilers and other programs that this one asks and waits for."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any


def run_tool(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, and return what it prints.

    It is in a session of its own. What stops a whole process group (Ctrl-C, a closed terminal,
    `timeout`) would end it too, and then look like a compiler that does not work; this process,
    which gets the same signal, stops where it is safe.
    """
    return subprocess.run(command, capture_output=True, start_new_session=True, **options)
