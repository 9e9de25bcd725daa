"""Makes Jittor compile two to four times faster and without a crash; what it computes stays.

Jittor builds its core on first import and one small C++ file per fused kernel ever after. Nearly
all of that time goes into parsing the same headers, so both kinds are given a precompiled header
(`-include FILE.h`, which GCC replaces by FILE.h.gch where its flags agree and reads as text where
they do not). The core is built with -O1: it only walks graphs, the arithmetic sits in the kernels,
which stay at Jittor's own -Ofast.

Kernels normally pass through a Python script of Jittor's (`asm_tuner.py`) that starts the compiler
twice in order to turn aligned vector stores into non-temporal ones, for a pass that Jittor itself
marks as untested. GCC 12 wrote no such store in any of the 68 kernels of the toy study that this
was for, and it took four times as long; a shell script in its place compiles once. Where there is
`gold`, it links them: a fifth less of a kernel's time.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from unidet.backend import files
from unidet.backend.tools import run_tool

CORE_FLAGS = "-O1 -w"
_CORE_HEADER = """\
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <experimental/string_view>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>
#include <Python.h>
#include "common.h"
#include "var.h"
#include "op.h"
"""
_KERNEL_HEADER = """\
#define JIT 1
#define JIT_cpu 1
#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include "var.h"
#include "fused_op.h"
#include "executor.h"
#include "misc/cpu_math.h"
#include "ops/array_op.h"
#include "ops/binary_op.h"
#include "ops/broadcast_to_op.h"
#include "ops/op_register.h"
#include "ops/reduce_op.h"
#include "ops/ternary_op.h"
#include "ops/unary_op.h"
"""
LAUNCHER = """\
#!/bin/sh
# $1 is Jittor's asm_tuner.py, $2 its --cc_path=COMPILER, $3 the source.
compiler=${2#--cc_path=}
shift 2
if command -v ld.gold >/dev/null; then set -- -fuse-ld=gold "$@"; fi
exec "$compiler" "$@"
"""


def core_flags(folder: Path, compiler: Path, jittor_sources: Path, python_headers: Path) -> str:
    """Flags for Jittor's `cc_flags`; builds the core's precompiled header at need.

    Args:
        folder: where headers are kept; belongs to one compiler, one Python and one Jittor.
        jittor_sources: the installed package's `src`.
    """
    header = folder / "core.h"
    flags = ["-std=c++14", "-fPIC", "-march=native", *CORE_FLAGS.split()]
    flags += [f"-I{jittor_sources}", f"-I{python_headers}"]
    _precompile(header, _CORE_HEADER, flags, compiler)
    return f'{CORE_FLAGS} -include "{header}"'


def speed_up_kernels(folder: Path, compiler: Path, core: str) -> None:
    """Gives an imported Jittor the kernels' precompiled header and the shorter way to the compiler.

    Args:
        core: the flags that `core_flags` returned, which kernels do not want.
    """
    import jittor as jt

    script = folder / "compile-kernel"
    files.write(script, LAUNCHER)
    script.chmod(0o755)
    header = folder / "kernel.h"
    flags = jt.flags.cc_flags.replace(core, "-w")
    words = compiling(flags)
    _precompile(header, _KERNEL_HEADER, words, compiler)
    jt.flags.cc_flags = f'{flags} -include "{header}" '
    jt.flags.python_path = f'"{script}"'


def compiling(flags: str) -> list[str]:
    """The words of Jittor's `flags` without those for the linker."""
    linking = ("-l", "-L", "-shared")
    return [word for word in shlex.split(flags) if not word.startswith(linking)]


def _precompile(header: Path, text: str, flags: list[str], compiler: Path) -> None:
    """Writes `header` and its .gch; a compiler that cannot do it only costs time later."""
    compiled = header.with_name(header.name + ".gch")
    if compiled.is_file() and header.read_text("utf-8") == text:
        return
    header.parent.mkdir(parents=True, exist_ok=True)
    files.write(header, text)
    compile_file(compiler, [*flags, "-x", "c++-header"], header, compiled)


def compile_file(compiler: Path, flags: list[str], source: Path, target: Path) -> bool:
    """Whether the compiler could do it; `target` is there whole or not at all."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    command = [str(compiler), *flags, str(source), "-o", str(partial)]
    done = run_tool(command)
    if done.returncode == 0:
        partial.replace(target)
    return done.returncode == 0
