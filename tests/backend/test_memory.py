"""Freed memory stays with the process."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from unidet.backend import memory, runtime

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


# Whether a block that a thread takes lies in the heap of the process (proc(5)).
IN_A_THREAD = """
import ctypes, re, threading
from pathlib import Path
from unidet.backend.memory import keep_memory

keep_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_size_t

def look():
    block = libc.malloc(100_000)
    maps = Path("/proc/self/maps").read_text()
    heaps = re.findall(r"^(\\w+)-(\\w+) .*\\[heap\\]$", maps, re.M)
    print(any(int(start, 16) <= block < int(end, 16) for start, end in heaps))

thread = threading.Thread(target=look)
thread.start()
thread.join()
"""

glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone"
)


@glibc
def test_a_freed_block_is_used_again() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    before, after = map(int, run.stdout.split())
    assert after * 10 < before


@glibc
def test_threads_share_one_heap() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IN_A_THREAD], capture_output=True, text=True, check=True
    )
    assert run.stdout == "True\n"


def test_onednn_keeps_few_primitives(monkeypatch: pytest.MonkeyPatch) -> None:
    onednn = runtime.bring_up("cpu").onednn
    if onednn is None:
        pytest.skip("no oneDNN here")
    library, count = ctypes.CDLL(str(onednn)), ctypes.c_int()

    def capacity() -> int:
        library.dnnl_get_primitive_cache_capacity(ctypes.byref(count))
        return count.value

    assert capacity() == memory.PRIMITIVES
    library.dnnl_set_primitive_cache_capacity(500)
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "500")
    memory.keep_few_primitives(onednn)
    assert capacity() == 500
    monkeypatch.undo()
    memory.keep_few_primitives(onednn)
    assert capacity() == memory.PRIMITIVES
