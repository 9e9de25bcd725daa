"""Freed memory stays with the process."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

BLOCK = 64 << 20


def pages_cleared_again() -> int:
    """Page faults of filling a block of memory that was freed just before."""
    bytearray(b"x") * BLOCK
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(b"x") * BLOCK
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_a_freed_block_is_used_again() -> None:
    code = (
        "from tests.backend.test_memory import keep_memory, pages_cleared_again as count\n"
        "before = count(); keep_memory(); print(before, count())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert after * 10 < before
