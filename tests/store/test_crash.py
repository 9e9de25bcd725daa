"""kill -9 before every file-system step: nothing partial is seen, and doing it again works."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory if possible: what a killed process leaves does not depend on the disk."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        yield Path(name)


@pytest.mark.parametrize(
    ("scenario", "at_least"),
    [
        ("fresh", 40),
        ("same_again", 15),
        ("different_again", 20),
        ("repair", 15),
        ("supersede", 25),
        ("view", 8),
    ],
)
def test_a_crash_anywhere_loses_nothing(scenario: str, at_least: int, folder: Path) -> None:
    script = Path(__file__).with_name("crashing.py")
    arguments = [sys.executable, str(script), scenario, str(folder)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= at_least
