"""Brings Jittor up: oneDNN, CPU or CUDA, compile cache, threads."""

from __future__ import annotations

import os


def bring_up() -> None:
    """Import Jittor with settings that work; call before anything that imports it."""
    os.environ.update(
        nvcc_path="", use_mpi="0", FIX_TORCH_ERROR="0", gdb_path="", log_silent="1", cache_name="unidet"
    )
    import jittor  # noqa: F401
