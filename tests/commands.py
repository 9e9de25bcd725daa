"""The command as tests call it, and waiting for what other processes do."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.cli import main

COMMAND = (sys.executable, "-m", "unidet")
"""Before the arguments, where the command has to be a process of its own."""


def exit_status(*arguments: object) -> int:
    """What the command ends with, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return int(stop.value.code or 0)


def complaint_of(
    verb: str, capsys: pytest.CaptureFixture[str], *arguments: object, folder: Path | None = None
) -> str:
    """What a verb says that refuses: one line, exit status 2, and nothing left in the folder.

    `folder` is where outputs would go: the current one by default.
    """
    folder = folder or Path.cwd()
    before = sorted(folder.iterdir())
    capsys.readouterr()
    assert exit_status(verb, *arguments) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert sorted(folder.iterdir()) == before
    return complaint


def eventually(condition: Callable[[], object], seconds: float = 90) -> bool:
    """Whether the condition comes to hold within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False
