"""Standard streams that are closed, full, or lack letters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PREPARED = "import warnings; from unidet.console.streams import prepare; prepare(); "


def shell(script: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs a line of shell in which `unidet` is this installation's."""
    define = f'unidet() {{ "{sys.executable}" -m unidet "$@"; }}; '
    values = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "", **environment}
    return subprocess.run(
        ["bash", "-c", define + script], capture_output=True, text=True, env=values
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("verb", ["--version", "config"])
def test_a_full_disk_behind_standard_output_is_one_line(verb: str, unbuffered: str) -> None:
    done = shell(f"unidet {verb} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert done.stderr == (
        "unidet: standard output: No space left on device; "
        "free some space and run the same command again\n"
    )


def test_a_closed_standard_output_is_said_and_changes_nothing() -> None:
    done = shell("unidet --version >&-")
    assert done.returncode == 0
    assert done.stderr == "unidet: standard output is closed; nothing is printed there\n"
    assert shell("unidet status --nonsense >&-").returncode == 2


def test_no_stream_at_all_changes_no_status() -> None:
    assert shell("unidet --version <&- >&- 2>&-").returncode == 0
    assert shell("unidet nonsense <&- >&- 2>&-").returncode == 2


def test_a_full_standard_error_changes_no_status() -> None:
    assert shell("unidet nonsense 2> /dev/full").returncode == 2
    assert shell("unidet --version 2> /dev/full").returncode == 0


def test_a_terminal_without_the_letters_gets_escapes() -> None:
    done = shell("unidet nonsense-é; unidet config experiment='données'", PYTHONIOENCODING="ascii")
    assert r"'nonsense-\xe9' is neither" in done.stderr
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    script = PREPARED + "print('← é')"
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    assert (printed.stdout, printed.stderr) == (rb"\u2190 \xe9" + b"\n", b"")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """141 is what a shell calls a broken pipe."""
    done = shell("{ sleep 0.3; unidet config; echo $? >&2; } | true")
    assert done.stderr == "141\n"


def test_a_message_is_one_line_without_control_codes(tmp_path: Path) -> None:
    done = shell(r"unidet $'no\e[31m\nsense'")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "\x1b" not in done.stderr


def test_a_warning_is_one_line() -> None:
    script = PREPARED + "warnings.warn('odd palette')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "unidet: odd palette\n"
