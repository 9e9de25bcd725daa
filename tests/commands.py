"""The command as tests call it, and waiting for what other processes do."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from unidet.cli import main

COMMAND = (sys.executable, "-m", "unidet")
"""Before the arguments, where the command has to be a process of its own."""


def write_small_files(folder: Path) -> None:
    """`truth.json` of one image, `results.json` for it, and `log.csv`."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [box],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    result = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5}
    (folder / "results.json").write_text(json.dumps([result]))
    (folder / "log.csv").write_text("step,loss\n1,0.5\n2,0.4\n")


def exit_status(*arguments: object) -> int:
    """What the command ends with, run in this process."""
    with pytest.raises(SystemExit) as stop:
        main([*map(str, arguments)])
    return int(stop.value.code or 0)


def answer(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What a process of the command would leave behind, run in this one."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = exit_status(*arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


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
