"""The processes that compile Jittor, and the signals that meet them."""

from __future__ import annotations

import subprocess
import sys

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


def test_a_signal_to_the_whole_group_ends_no_compiler_amid_its_work() -> None:
    subprocess.run(
        [sys.executable, "-c", COMPILING], check=True, start_new_session=True, timeout=60
    )
