"""The processes that compile Jittor, and the signals that meet them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from unidet.backend import toolchain

COMPILING = """
import multiprocessing, os, signal, time
from unidet.backend.importing import _mortal
requested = []
signal.signal(signal.SIGTERM, lambda *_: requested.append(True))
def compile(part):
    time.sleep(0.3)
    return part
with multiprocessing.get_context("fork").Pool(2, initializer=_mortal(lambda: None)) as pool:
    parts = pool.imap_unordered(compile, range(6))
    done = [next(parts)]
    os.killpg(0, signal.SIGTERM)
    assert sorted([*done, *parts]) == [*range(6)]
assert requested
"""
KERNEL = """
import signal, sys, uuid
from unidet.backend import runtime
requested = []
signal.signal(signal.SIGTERM, lambda *_: requested.append(True))
runtime.bring_up()
import jittor as jt
jt.flags.cc_path = sys.argv[1]
source = f"out0_p[0] = 3; // {uuid.uuid4().hex}"  # no kernel that is kept
assert jt.code([1], "float32", cpu_src=source).numpy() == [3]
assert requested
"""


def test_a_signal_to_the_whole_group_fails_no_kernel(tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\nkill -TERM 0\nexec "{toolchain.find_compiler()}" "$@"\n')
    compiler.chmod(0o755)
    command = [sys.executable, "-c", KERNEL, str(compiler)]
    subprocess.run(command, check=True, start_new_session=True, timeout=600)


def test_a_signal_to_the_whole_group_ends_no_compiler_amid_its_work() -> None:
    subprocess.run(
        [sys.executable, "-c", COMPILING], check=True, start_new_session=True, timeout=60
    )
