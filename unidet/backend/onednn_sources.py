"""Jittor's convolutions with oneDNN, in copies that take temporary memory from Jittor's allocator.

Before and after a convolution, maps and filters are reordered, about a hundred times in a training
step. oneDNN allocates a buffer each time with malloc and frees it. Small, long-lived blocks of
oneDNN's primitives then fragmented the freed memory, and the next large buffer needed new pages:
with images of varying size, free pieces of the heap grew from 14 MiB after 50 steps to 22 MiB after
200, of 178 MiB in all. Jittor's allocator has no such small blocks and reuses freed tensors.
"""

from __future__ import annotations

import re
from pathlib import Path

from unidet.backend import files

NAMES = ("mkl_conv", "mkl_conv_backward_x", "mkl_conv_backward_w")
_TAKEN = re.compile(r"memory\((\w+\.\w+_desc\(\)), eng\)")
_START = "    stream s(eng);\n"
_ROOMS = """\
    std::list<Allocation> rooms;
    const auto room = [&](const memory::desc& asked) {
        rooms.emplace_back(cpu_allocator, asked.get_size() + 64);
        const size_t start = (size_t)rooms.back().ptr;
        return memory(asked, eng, (void*)((start + 63) / 64 * 64));
    };
"""


def copy_convolutions(jittor: Path, folder: Path) -> dict[str, Path]:
    """Writes the changed sources to `folder`; returns operation name -> source.

    Args:
        jittor: folder of the installed package.

    Raises:
        RuntimeError: the sources are not those of Jittor 1.3.11.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = {}
    for name in NAMES:
        source = jittor / "extern" / "mkl" / "ops" / f"{name}_op.cc"
        text, taken = _TAKEN.subn(r"room(\1)", source.read_text("utf-8"))
        if text.count(_START) != 1 or taken < 3:
            raise RuntimeError(f"{source} takes memory otherwise: not of Jittor 1.3.11")
        includes = '#include <list>\n#include "mem/allocator.h"\n'
        copies[name] = folder / source.name
        files.write(copies[name], includes + text.replace(_START, _START + _ROOMS))
    return copies
