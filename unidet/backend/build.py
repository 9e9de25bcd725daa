"""Speeds up Jittor's compilation two to four times without changing results.

Jittor compiles its core at the first import, and later one small C++ file per fused kernel. Most of
that time goes into parsing the same headers, so both use a precompiled header (`-include FILE.h`;
GCC reads FILE.h.gch instead if its flags match, else FILE.h as text). The core is compiled with
-O1, because it only traverses graphs. The kernels do the arithmetic and keep Jittor's -Ofast.

By default Jittor passes kernels through a Python script (`asm_tuner.py`), which runs the compiler
twice to turn aligned vector stores into non-temporal ones. Jittor itself marks this pass as
untested. GCC 12 generates no such store in any of the toy study's 68 kernels that use the pass, and
the pass takes four times as long. A shell script replaces it and compiles once. If `gold` is
installed, it links the kernels, which takes a fifth off the time per kernel.
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
    """Flags for Jittor's `cc_flags`; builds the core's precompiled header if it is missing.

    Args:
        folder: for the headers; specific to one compiler, one Python and one Jittor.
        jittor_sources: `src` of the installed package.
    """
    header = folder / "core.h"
    flags = ["-std=c++14", "-fPIC", "-march=native", *CORE_FLAGS.split()]
    flags += [f"-I{jittor_sources}", f"-I{python_headers}"]
    _precompile(header, _CORE_HEADER, flags, compiler)
    return f'{CORE_FLAGS} -include "{header}"'


def speed_up_kernels(folder: Path, compiler: Path, core: str) -> None:
    """Sets the kernels' precompiled header and compile script in an imported Jittor.

    Args:
        core: the flags that `core_flags` returned; they are removed for kernels.
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
    """The words of Jittor's `flags`, without linker options."""
    linking = ("-l", "-L", "-shared")
    return [word for word in shlex.split(flags) if not word.startswith(linking)]


def _precompile(header: Path, text: str, flags: list[str], compiler: Path) -> None:
    """Writes `header` and its .gch. If the compiler fails, compilation is only slower."""
    compiled = header.with_name(header.name + ".gch")
    if compiled.is_file() and header.read_text("utf-8") == text:
        return
    header.parent.mkdir(parents=True, exist_ok=True)
    files.write(header, text)
    compile_file(compiler, [*flags, "-x", "c++-header"], header, compiled)


def compile_file(compiler: Path, flags: list[str], source: Path, target: Path) -> bool:
    """Returns whether compilation succeeded; `target` is replaced atomically."""
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    command = [str(compiler), *flags, str(source), "-o", str(partial)]
    done = run_tool(command)
    if done.returncode == 0:
        partial.replace(target)
    return done.returncode == 0
