"""The command as a process among others."""

from __future__ import annotations

import subprocess
import sys


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
