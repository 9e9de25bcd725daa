"""The command as a process among others."""

from __future__ import annotations

import signal
import subprocess
import sys

CRASH = """
import ctypes, sys
from unidet import cli
from unidet.backend import runtime
def crash(_):
    runtime.bring_up("cpu")
    ctypes.string_at(0)
cli._VERBS["crash"] = crash
sys.argv[1:] = ["crash"]
cli.main()
"""


def test_a_reader_that_leaves_early_is_no_error() -> None:
    """As in `unidet --help | head -1`; 141 is what a shell calls a broken pipe."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from unidet.cli import main; main()", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 141


def test_a_crash_in_compiled_code_says_where() -> None:
    """Jittor would answer it itself: not a word here, and exit status 1, or no end at all."""
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True)
    assert done.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in done.stderr
    assert "in crash" in done.stderr
