"""Memory that was used once is kept for the next use.

The C library maps every large block anew and gives it back when it is freed, so that a network
spends a fifth of its time on pages that the kernel has to find and clear. Here blocks come from a
heap that never shrinks: Jittor keeps freed tensors to a limit, and what lies beyond returns there.
Pages of 2 MiB took longer to clear than they saved. All threads share that heap: with one for each,
those that decode and draw images kept in theirs what the others could have used.

oneDNN keeps the last 1,024 primitives, each with code of its own and a place in that heap, so that
a run whose images vary in size went on growing until it had met as many. A training step of our
networks needs 90 to 280 different ones, which the limit here exceeds; making one anew takes a tenth
of a millisecond. The less are kept, the less is in the way of large blocks (onednn_sources.py).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8  # M_… of malloc.h
_NEVER = -1  # the largest size_t
_STEP = 64 << 20  # the heap grows by so much at least
PRIMITIVES = 288


def keep_memory() -> None:
    """For this process, from now on; nothing where the C library is not glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_TOP_PAD, _STEP)
        libc.mallopt(_ARENA_MAX, 1)


def keep_few_primitives(onednn: Path) -> None:
    """`PRIMITIVES` at most, unless the environment says how many (oneDNN's own variables).

    Args:
        onednn: the shared library that Jittor has loaded.
    """
    if not {f"{prefix}_PRIMITIVE_CACHE_CAPACITY" for prefix in ("DNNL", "ONEDNN")} & {*os.environ}:
        ctypes.CDLL(str(onednn)).dnnl_set_primitive_cache_capacity(PRIMITIVES)
