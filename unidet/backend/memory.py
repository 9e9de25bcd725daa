"""Keeps freed memory for reuse in the process.

glibc maps each large block anew and unmaps it when it is freed, so that a network spends a fifth of
its time in page faults. Here blocks come from a heap that never shrinks: Jittor caches freed
tensors up to a limit and returns the rest to that heap. Pages of 2 MiB took longer to clear than
they saved. All threads share one heap (arena); with one each, the threads that decode and draw
images kept memory that others could have used.

By default oneDNN caches the last 1,024 primitives, each with generated code and memory in that
heap. With images of varying size, memory grew until the cache was full. A training step of our
networks needs 90 to 280 different primitives; the limit here is just above that, and creating one
takes a tenth of a millisecond. Fewer primitives also fragment the heap less (onednn_sources.py).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # M_… of malloc.h
_NEVER = -1  # converts to the largest size_t
_STEP = 64 << 20  # minimum growth of the heap, in bytes
PRIMITIVES = 288


def keep_memory() -> None:
    """Configures malloc for this process; without effect if the C library is not glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_TOP_PAD, _STEP)
        libc.mallopt(_ARENA_MAX, 1)


def keep_few_primitives(onednn: Path) -> None:
    """Limits oneDNN's cache to `PRIMITIVES`, unless one of its environment variables is set.

    Args:
        onednn: the shared library that Jittor has loaded.
    """
    if not {f"{prefix}_PRIMITIVE_CACHE_CAPACITY" for prefix in ("DNNL", "ONEDNN")} & {*os.environ}:
        ctypes.CDLL(str(onednn)).dnnl_set_primitive_cache_capacity(PRIMITIVES)
