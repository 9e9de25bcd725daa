"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Page faults of filling a block of memory that was freed just before, with the library's own
# habits and with ours.
CODE = """
import resource
from unidet.backend.memory import keep_memory

def pages_cleared_again():
    bytearray(b"x") * (64 << 20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * (64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = pages_cleared_again()
keep_memory()
print(before, pages_cleared_again())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_a_freed_block_is_used_again() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert after * 10 < before
