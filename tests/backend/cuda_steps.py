"""Runs the toy world's steps on libraries that stand for CUDA's: what Jittor would compile for a
GPU is written, and nothing computed. By test_cuda_steps.py, as `python cuda_steps.py FOLDER`.

Leaves the sources in FOLDER/sources, and what was copied to the host in the second turn of each
step, when all is compiled, in copies.json.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cuda_stand_ins import COPIED, stand_in

from unidet.backend import gpu, runtime

# In place of nvcc: a library whose one function does nothing.
COMPILER = r"""#!/bin/sh
for word; do [ "$last" = -o ] && library=$word; last=$word; done
class=$(sed -n 's/.*void \(jittor::\)*\([A-Za-z0-9]*Op\)::jit_run().*/\2/p' "$1" | tail -1)
echo "void _ZN6jittor${#class}${class}7jit_runEv(void* op) {}" |
    gcc -shared -fPIC -x c - -o "$library"
"""


def main(folder: Path) -> None:
    toolkit = stand_in(gpu.find_toolkit(), folder / "libraries")
    cuda = gpu.Cuda(gpu.Driver((99, 0), (gpu.Gpu("any", 90),)), toolkit)
    runtime.find_cuda = lambda: cuda  # type: ignore[attr-defined]
    runtime.bring_up_untried()
    import jittor as jt

    compiler = folder / "nvcc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    jt.flags.nvcc_path = str(compiler)
    from toy_steps import families

    copies = {}
    for family in families():
        for name, step in family.items():
            step()
            with standard_error(folder / "errors") as errors:
                step()
            copies[name] = errors.read_text().count(COPIED)
    (folder / "copies.json").write_text(json.dumps(copies))
    (folder / "flags.txt").write_text(jt.flags.nvcc_flags)
    kernels = Path(jt.flags.cache_path) / "jit"
    shutil.copytree(kernels, folder / "sources", ignore=shutil.ignore_patterns("*.so*", "*.key"))


@contextmanager
def standard_error(file: Path) -> Iterator[Path]:
    """What compiled code says as well goes to `file`."""
    kept = os.dup(2)
    with file.open("w") as written:
        os.dup2(written.fileno(), 2)
    try:
        yield file
    finally:
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
