"""Sources of Jittor's core with its mistakes mended, compiled in place of its own.

At the end of a process Jittor tells the threads that compile its kernels to end, and waits for
them. A thread that had not begun by then, on a busy machine, missed that and waited for ever, and
the process with it. While the threads compile, it looks for their end at intervals that double each
time, up to a second, so that kernels which took half a second were waited for up to a second.
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
"""By file of Jittor's package: what stands there once, and what is to stand there."""


def mend(jittor: Path, folder: Path) -> dict[Path, Path]:
    """The mended sources in `folder`, by Jittor's own.

    Args:
        jittor: its installed package.

    Raises:
        RuntimeError: they are not those of Jittor 1.3.11.
    """
    mended = {}
    for name, changes in _CHANGES.items():
        source = jittor / name
        text = files.changed(source, changes)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        # Under its own name, after which Jittor names what it compiles.
        mended[source] = folder / digest / source.name
        if not mended[source].is_file():
            mended[source].parent.mkdir(parents=True, exist_ok=True)
            files.write(mended[source], text)
    return mended


def with_mended(commands: Sequence[str], mended: Mapping[Path, Path]) -> list[str]:
    """Commands for the compiler, of these sources in place of Jittor's own."""
    changed = list(commands)
    for source, copy in mended.items():
        changed = [command.replace(f'"{source}"', f'"{copy}"') for command in changed]
    return changed
