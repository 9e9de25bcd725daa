"""Programs that this one asks and waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unidet.backend import toolchain
from unidet.errors import UserError

ASK = """
import signal, sys
from pathlib import Path
from unidet.backend.toolchain import compiler_version
signal.signal({number}, lambda *_: None)
print(compiler_version(Path({compiler!r})))
"""


def compiler_of(folder: Path, script: str) -> Path:
    path = folder / "g++"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_what_stops_a_process_group_ends_no_compiler(tmp_path: Path, number: int) -> None:
    """A closed terminal is told to all that was started in it, and ended in a traceback."""
    started = tmp_path / "started"
    compiler = compiler_of(tmp_path, f"touch {started}; sleep 0.5; echo g++ 12.3.4")
    code = ASK.format(number=int(number), compiler=str(compiler))
    asking = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    while not started.exists():
        assert asking.poll() is None
        time.sleep(0.01)
    os.killpg(asking.pid, number)
    assert asking.communicate(timeout=30)[0].strip() == "12.3.4"


def test_a_compiler_that_fails_is_one_line(tmp_path: Path) -> None:
    compiler = compiler_of(tmp_path, "exit 3")
    with pytest.raises(UserError, match=r"g\+\+ --version: exit status 3"):
        toolchain.compiler_version(compiler)
