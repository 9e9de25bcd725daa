"""Compiles C++ code outside Jittor's kernels into cached shared libraries."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from unidet.backend.tools import run_tool


def compiled(
    source: str, command: Sequence[str], folder: Path, name: str, linked: Sequence[str] = ()
) -> Path:
    """The shared library of `source`; compiled if `folder` does not have it yet.

    It is written atomically, also beside another process that compiles it.

    Args:
        command: the compiler and its flags.
        name: prefix of the file name; a digest of source, command and machine follows.
        linked: libraries, passed after the source.

    Raises:
        RuntimeError: the compiler rejects the source.
        OSError: the compiler does not exist, or the folder is not writable.
    """
    recipe = "\n".join([platform.machine(), *command, *linked, source])
    library = folder / f"{name}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}.so"
    if not library.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _compile(source, command, library, linked)
    return library


def _compile(source: str, command: Sequence[str], library: Path, linked: Sequence[str]) -> None:
    partial = library.with_name(f"{library.name}.{os.getpid()}")
    file = partial.with_name(f"{partial.name}.cc")
    file.write_text(source, "utf-8")
    words = [*command, str(file), *linked, "-o", str(partial)]
    done = run_tool(words)
    file.unlink()
    if done.returncode:
        raise RuntimeError(f"the compiler refuses {library.name}: {done.stderr.decode()}")
    partial.replace(library)
