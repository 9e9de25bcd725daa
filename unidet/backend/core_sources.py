"""Patched sources of Jittor's core, compiled instead of the originals.

They fix two faults. At exit, Jittor signals its compiling threads to end and joins them. A thread
that had not started yet, as on a busy machine, missed the signal, and the process never ended.
While threads compile, Jittor polls for their end at intervals that double up to a second, so that
kernels that took half a second could cost a whole one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from unidet.backend import files

_CHANGES = {
    "src/parallel_compiler.cc": (
        ("    Func func;\n", "    Func func;\n    bool ended = false;\n"),
        ("                cv.wait(lck);\n", "                if (!ended) cv.wait(lck);\n"),
        ("        this->func = func;\n", "        this->func = func;\n        ended = !func;\n"),
        ("std::min(sleep_us*2, 1000000)", "std::min(sleep_us*2, 2000)"),
    ),
}
"""File of Jittor's package -> replacements (old, new); each old text occurs once."""


def mend(jittor: Path, folder: Path) -> dict[Path, Path]:
    """Writes the patched sources to `folder`; returns Jittor's source -> patched source.

    Args:
        jittor: folder of the installed package.

    Raises:
        RuntimeError: the sources are not those of Jittor 1.3.11.
    """
    mended = {}
    for name, changes in _CHANGES.items():
        source = jittor / name
        text = files.changed(source, changes)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        # Keeps the file name: Jittor names object files after it.
        mended[source] = folder / digest / source.name
        if not mended[source].is_file():
            mended[source].parent.mkdir(parents=True, exist_ok=True)
            files.write(mended[source], text)
    return mended


def with_mended(commands: Sequence[str], mended: Mapping[Path, Path]) -> list[str]:
    """Replaces Jittor's own sources with the patched ones in compiler commands."""
    changed = list(commands)
    for source, copy in mended.items():
        changed = [command.replace(f'"{source}"', f'"{copy}"') for command in changed]
    return changed
