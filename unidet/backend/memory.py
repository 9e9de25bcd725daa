"""Memory that was used once is kept for the next use.

The C library maps every large block anew and gives it back when it is freed, so that a network
spends a fifth of its time on pages that the kernel has to find and clear. Here blocks come from a
heap that never shrinks: Jittor keeps freed tensors to a limit, and what lies beyond returns there.
Pages of 2 MiB took longer to clear than they saved.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # M_… of malloc.h
_NEVER = -1  # the largest size_t
_STEP = 64 << 20  # the heap grows by so much at least


def keep_memory() -> None:
    """For this process, from now on; nothing where the C library is not glibc."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "gnu_get_libc_version"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, _NEVER)
        libc.mallopt(_TOP_PAD, _STEP)
