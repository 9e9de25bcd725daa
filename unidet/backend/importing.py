"""Jittor's import: the variables it reads, the files it looks for, and the state it spoils."""

from __future__ import annotations

import atexit
import os
import platform
import re
import signal
import sys
import sysconfig
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from unidet.backend import core_record, core_sources, files, toolchain
from unidet.backend.process_state import signals_kept, tls_kept, variables_set
from unidet.backend.toolchain import OneDNN
from unidet.errors import UserError

COMPILER_FAILED = "Run cmd failed"  # Jittor's words where a compiler was killed
_COLOUR = re.compile(r"\x1b\[[\d;]*[mK]")
_PREFIX = re.compile(r"\[\w \d{4} [\d:.]+ \d+ [\w.]+:\d+\] ")
_SOURCE = re.compile(r"/([\w.]+\.(?:cc|cu|cpp))\"")


def link_onednn(onednn: OneDNN, home: Path) -> None:
    """Puts oneDNN where Jittor's install_mkl (compile_extern.py) looks for its own download."""
    name = {"aarch64": "dnnl_lnx_2.2.0_cpu_gomp_aarch64"}.get(
        platform.machine(), "dnnl_lnx_2.2.0_cpu_gomp"
    )
    folder = home / ".cache" / "jittor" / "mkl" / name
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    for link, target in (
        (folder / "include", onednn.include),
        (folder / "lib" / "libmkldnn.so", onednn.library),
        (folder / "lib" / "libdnnl.so.2", onednn.library),
    ):
        files.link(link, target)


def environment(
    compiler: Path, onednn: OneDNN | None, threads: int, verbose: bool
) -> dict[str, str]:
    """Variables that Jittor reads at its import; those of CUDA's extras would start downloads."""
    return {
        "cc_path": str(compiler),
        "cache_name": "unidet",
        "gdb_path": "",
        "use_mpi": "0",
        "use_nccl": "0",
        "use_cutt": "0",
        "use_cutlass": "0",
        "use_mkl": "0" if onednn is None else "1",
        "FIX_TORCH_ERROR": "0",
        "log_silent": "0" if verbose else "1",
        "OMP_NUM_THREADS": str(threads),
    }


def waiting(threads: int) -> dict[str, str]:
    """How a thread waits for the next loop to share, where the user has not said it.

    OpenMP lets it spin for some milliseconds before it sleeps. On a virtual machine whose host has
    other guests, sleeping at once made a toy study a third slower: every waking waits for the host.
    But beside another busy process spinning takes the cores from both: two trainings at once on
    two cores took 3.4 times as long (docs/training.md).
    """
    said = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if threads == 1 or said or toolchain.cores_are_free(threads):
        return {}
    return {"OMP_WAIT_POLICY": "passive"}


def measure_floats() -> None:
    """Let numpy measure its types, which it keeps: once Jittor's kernels flush denormals, it would
    find the smallest one to be zero and warn."""
    import numpy as np

    for kind in (np.float16, np.float32, np.float64):
        np.finfo(kind)


def import_jittor(
    home: Path, jittor_folder: Path, values: Mapping[str, str], headers: Path, verbose: bool
) -> str:
    """Imports it; a digest of the state of its files.

    Raises:
        UserError: it does not start.
    """
    variables = {**values, "HOME": str(home), "JITTOR_HOME": str(home)}
    with (
        variables_set(variables),
        signals_kept() as restore_signals,
        tls_kept(),
        warnings.catch_warnings(),
    ):
        # Python's, of Jittor's own strings, where its files have not been compiled before.
        warnings.filterwarnings("ignore", "invalid escape sequence")
        import jittor_utils

        # In a virtual environment Jittor would ask some other Python's python3-config, or none.
        jittor_utils._py3_include_path = f'-I"{headers}"'
        jittor_utils._py3_extension_suffix = sysconfig.get_config_var("EXT_SUFFIX")
        jittor_utils.pool_initializer = _mortal(jittor_utils.pool_initializer)
        jittor_utils.import_scope = _then(restore_signals, jittor_utils.import_scope)
        if not has_core(Path(jittor_utils.cache_path)):
            say_compiling(verbose)
        try:
            mended = core_sources.mend(jittor_folder, home / "core")
            with core_record.remembered(home / "core.json", jittor_folder, mended) as state:
                import jittor  # noqa: F401
        except Exception as error:
            raise UserError(
                f"Jittor does not start: {reason_of(error)}; `unidet doctor` may tell more, "
                f"or delete {home} to build it anew"
            ) from error
        if jittor_utils.pool_size:
            # The processes that compiled the core would stay, and hold memory, until the end.
            atexit.unregister(jittor_utils.pool_cleanup)
            jittor_utils.pool_cleanup()
            jittor_utils.pool_size = 0
    return state


def _then(
    restore: Callable[[], None], scope: Callable[[int], AbstractContextManager[None]]
) -> Callable[[int], AbstractContextManager[None]]:
    """Jittor's scope around each load of its libraries, which take over the signals: seconds before
    its import has ended, and in between they would end the process in their own words."""

    @contextmanager
    def restoring(flags: int) -> Iterator[None]:
        try:
            with scope(flags):
                yield
        finally:
            restore()

    return restoring


def _mortal(initialize: Callable[[], None]) -> Callable[[], None]:
    """Compiling processes end on their own SIGTERM, whatever this process has made of that signal.

    They are forked, and would otherwise inherit a handler that only takes note; Jittor waits for
    them to end. What is meant for the whole group (Ctrl-C, `timeout`, a closed terminal) must not
    reach them: of one that ends amid its work Jittor waits for the result for ever, and holds the
    lock that every other start waits for.
    """

    def start() -> None:
        os.setpgrp()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # they may write, though in the background
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        initialize()

    return start


def has_core(folder: Path) -> bool:
    return any(folder.glob("**/jittor_core*.so"))


def say_compiling(verbose: bool) -> None:
    if not verbose:
        print("compiling Jittor, once per machine (one to two minutes)…", file=sys.stderr)


def reason_of(error: Exception) -> str:
    """What an error of Jittor's says, in a line: without its colours, its log's prefix, and the
    whole command of a compiler that failed.
    """
    text = _COLOUR.sub("", str(error))
    if COMPILER_FAILED in text:
        source = _SOURCE.search(text)
        where = f" at {source[1]}" if source else ""
        return (
            f"the compiler was stopped{where}, by a signal or for lack of memory or disk; the same "
            "command goes on"
        )
    lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
