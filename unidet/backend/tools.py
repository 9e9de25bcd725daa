"""Runs compilers and other programs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any


def run_tool(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end and captures its output.

    It runs in its own session. Otherwise a signal to the process group (Ctrl-C, a closed terminal,
    `timeout`) would also end it, which would look like a broken compiler. This process gets the
    same signal and stops at a safe point.

    Args:
        options: further arguments of `subprocess.run`.

    Raises:
        OSError: the program cannot be started.
        subprocess.TimeoutExpired: with the option `timeout`.
    """
    return subprocess.run(command, capture_output=True, start_new_session=True, **options)
