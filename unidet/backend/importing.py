"""Imports Jittor: sets its variables, provides its files, restores the state of the process."""

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
from unidet.backend.process_state import (
    recursion_limit_kept,
    signals_kept,
    tls_kept,
    variables_set,
)
from unidet.backend.toolchain import OneDNN
from unidet.errors import UserError

COMPILER_FAILED = "Run cmd failed"  # Jittor's message if the compiler failed or was killed
_COLOUR = re.compile(r"\x1b\[[\d;]*[mK]")
_PREFIX = re.compile(r"\[\w \d{4} [\d:.]+ \d+ [\w.]+:\d+\] ")
_SOURCE = re.compile(r"/([\w.]+\.(?:cc|cu|cpp))\"")


def link_onednn(onednn: OneDNN, home: Path) -> None:
    """Links oneDNN at the place where Jittor's install_mkl (compile_extern.py) downloads it to."""
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
    """Variables for Jittor's import; CUDA extras are off, because they would start downloads."""
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
    """Variables for how OpenMP threads wait for the next loop, unless the user has set them.

    By default OpenMP threads spin for some milliseconds before they sleep. Sleeping at once made a
    toy study a third slower on a virtual machine with a shared host, where each wake-up waits for
    the host. Beside another busy process, however, spinning takes cores from both: two trainings
    at once on two cores took 3.4 times as long (docs/training.md).
    """
    said = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if threads == 1 or said or toolchain.cores_are_free(threads):
        return {}
    return {"OMP_WAIT_POLICY": "passive"}


def measure_floats() -> None:
    """Lets numpy measure and cache the limits of its float types.

    Jittor's kernels flush denormals; numpy would then find the smallest one to be zero, and warn.
    """
    import numpy as np

    for kind in (np.float16, np.float32, np.float64):
        np.finfo(kind)


def import_jittor(
    home: Path, jittor_folder: Path, values: Mapping[str, str], headers: Path, verbose: bool
) -> str:
    """Imports Jittor; returns a digest of the state of its files.

    Raises:
        UserError: Jittor does not start.
    """
    variables = {**values, "HOME": str(home), "JITTOR_HOME": str(home)}
    with (
        variables_set(variables),
        signals_kept() as restore_signals,
        tls_kept(),
        recursion_limit_kept(),
        warnings.catch_warnings(),
    ):
        # Python warns of Jittor's strings the first time it compiles its files.
        warnings.filterwarnings("ignore", "invalid escape sequence")
        import jittor_utils

        # In a virtual environment Jittor would run another Python's python3-config, or none.
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
        except SystemExit:  # Jittor's, with status 0 and without a word (compiler.py:887)
            raise UserError(
                f"Jittor has built the files of {home} anew, as they were built in another folder "
                "or with other options; run the same command again"
            ) from None
        except Exception as error:
            raise UserError(
                f"Jittor does not start: {reason_of(error)}; `unidet doctor` may tell more, "
                f"or delete {home} to build it anew"
            ) from error
        if jittor_utils.pool_size:
            # Otherwise the processes that compiled the core keep running, and hold memory.
            atexit.unregister(jittor_utils.pool_cleanup)
            jittor_utils.pool_cleanup()
            jittor_utils.pool_size = 0
    return state


def _then(
    restore: Callable[[], None], scope: Callable[[int], AbstractContextManager[None]]
) -> Callable[[int], AbstractContextManager[None]]:
    """Wraps Jittor's scope around each load of its libraries, to restore signal handlers after it.

    The libraries install signal handlers seconds before the import ends. In between, a signal would
    end the process with Jittor's own messages.
    """

    @contextmanager
    def restoring(flags: int) -> Iterator[None]:
        try:
            with scope(flags):
                yield
        finally:
            restore()

    return restoring


def _mortal(initialize: Callable[[], None]) -> Callable[[], None]:
    """Lets compiling processes end on their own SIGTERM, and on no signal of the group.

    They are forked and would otherwise inherit a handler that only records the signal, while Jittor
    waits for them to end. Signals to the whole group (Ctrl-C, `timeout`, a closed terminal) must
    not reach them: if one ends during its work, Jittor waits for its result forever, and holds the
    lock that every other start waits for.
    """

    def start() -> None:
        os.setpgrp()
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # may write to the terminal in the background
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        initialize()

    return start


def has_core(folder: Path) -> bool:
    return any(folder.glob("**/jittor_core*.so"))


def say_compiling(verbose: bool) -> None:
    if not verbose:
        print("compiling Jittor, once per machine (one to two minutes)…", file=sys.stderr)


def reason_of(error: Exception) -> str:
    """The first line of a Jittor error, without colours, log prefix and compiler command."""
    text = _COLOUR.sub("", str(error))
    if COMPILER_FAILED in text:
        source = _SOURCE.search(text)
        where = f" at {source[1]}" if source else ""
        return (
            f"the compiler failed{where}: its message is above; if there is none, it was stopped, "
            "by a signal or for lack of memory or disk, and the same command goes on"
        )
    lines = [_PREFIX.sub("", line.strip()) for line in text.splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
