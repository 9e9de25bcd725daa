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


def deaths(scenario: str, folder: Path, mode: str) -> int:
    script = Path(__file__).with_name("crashing.py")
    arguments = [sys.executable, str(script), scenario, str(folder), mode]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


# Together more than 200 places to die; those of what is seldom done are among the slow tests.
@pytest.mark.parametrize(
    ("scenario", "at_least"),
    [
        ("fresh", 50),
        ("same_again", 20),
        pytest.param("different_again", 30, marks=pytest.mark.slow),
        pytest.param("repair", 20, marks=pytest.mark.slow),
        pytest.param("supersede", 30, marks=pytest.mark.slow),
        ("view", 8),
        ("checkpoint", 2),
        pytest.param("gc", 30, marks=pytest.mark.slow),
        pytest.param("push", 20, marks=pytest.mark.slow),
        pytest.param("fetch", 30, marks=pytest.mark.slow),
    ],
)
def test_a_crash_before_any_step_loses_nothing(scenario: str, at_least: int, folder: Path) -> None:
    assert deaths(scenario, folder, "steps") >= at_least


@pytest.mark.parametrize("scenario", ["fresh", "gc", "push", "fetch", "big_checkpoint"])
def test_a_crash_at_a_random_moment_loses_nothing(scenario: str, folder: Path) -> None:
    assert deaths(scenario, folder, "random") >= 5


@pytest.mark.parametrize(
    ("scenario", "at_least"),
    [("fresh", 3), ("supersede", 3), ("push", 3), ("fetch", 3), ("big_checkpoint", 8)],
)
def test_a_crash_in_the_middle_of_a_file_loses_nothing(
    scenario: str, at_least: int, folder: Path
) -> None:
    assert deaths(scenario, folder, "middle") >= at_least
