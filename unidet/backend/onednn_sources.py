"""Jittor's convolutions by oneDNN, in copies whose passing arrays lie in Jittor's own memory.

Before and after a convolution maps and filters are rearranged, a hundred times in a training step,
each time into memory that oneDNN takes from the C library and gives back. Small blocks that stay,
of oneDNN's primitives, settled in what was given back, so that the next large one needed new pages:
where images vary in size, free pieces of the heap grew from 14 MiB after 50 steps to 22 after 200
of 178 MiB in all. Jittor's memory holds no such small blocks, and its freed tensors make room.
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
    """The sources in `folder`, changed, by the names of Jittor's operations.

    Args:
        jittor: its installed package.

    Raises:
        RuntimeError: they are not those of Jittor 1.3.11.
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
