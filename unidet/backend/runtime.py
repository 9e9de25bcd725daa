"""Brings Jittor up: oneDNN, CPU or CUDA, compile cache, threads. Call before anything imports it.

Jittor decides everything at its import, from environment variables and from files below the home
folder. `bring_up` sets those only while the import runs and puts the process back as it was: signal
handlers (Jittor's end the process at once, also on Ctrl-C), TLS verification (Jittor turns it off),
HOME, and every variable.
"""

from __future__ import annotations

import atexit
import ctypes
import hashlib
import importlib.util
import os
import platform
import signal
import subprocess
import sys
import sysconfig
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from unidet.backend import build as jittor_build
from unidet.backend import toolchain
from unidet.backend.process_state import signals_kept, tls_kept, variables_set
from unidet.backend.toolchain import OneDNN
from unidet.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Runtime:
    """What was decided when Jittor came up."""

    device: Literal["cpu", "cuda"]
    cuda: str  # why CUDA is or is not used
    threads: int
    onednn: Path | None
    cache: Path
    compiler: Path
    versions: dict[str, str]
    seconds: float  # of the import, with compilation where the cache was cold
    warnings: tuple[str, ...]


_runtime: Runtime | None = None
_ahead: subprocess.Popen[bytes] | None = None


def bring_up(
    device: Device = "auto", threads: int = 0, verbose: bool = False, *, mpi: bool = False
) -> Runtime:
    """Imports Jittor with settings that work; a second call returns what the first decided.

    Args:
        device: "auto" takes CUDA where it is usable.
        threads: of OpenMP; 0 means `$OMP_NUM_THREADS`, else every core the process may use.
        verbose: let Jittor and the compiler talk.
        mpi: this process is one of several that `mpirun` has started; they train together.

    Raises:
        UserError: no compiler, no Python.h, numpy 2, an unwritable cache, CUDA asked for and not
            usable, or a different device asked for than in the first call.
    """
    global _runtime
    if _runtime is None:
        _runtime = _bring_up(device, threads, verbose, mpi)
    elif device not in ("auto", _runtime.device):
        raise UserError(f"device={device}: Jittor already runs on {_runtime.device} here")
    return _runtime


def _bring_up(device: Device, threads: int, verbose: bool, mpi: bool) -> Runtime:
    if "jittor" in sys.modules or "jittor_utils" in sys.modules:
        raise RuntimeError("jittor was imported before unidet.backend.runtime.bring_up()")
    versions = {"python": platform.python_version(), "numpy": toolchain.require_numpy_1()}
    root = toolchain.cache_root()
    toolchain.require_writable(root)
    compiler = toolchain.find_compiler()
    headers = toolchain.find_python_headers()
    onednn = toolchain.find_onednn()
    nvcc, cuda = _choose_device(device)
    threads = threads or toolchain.default_threads()
    home = _home(root, compiler, headers, onednn)
    if onednn is not None:
        _link_onednn(onednn, home)
    build = home / "build"
    _wait_for_compilers(verbose)
    environment = _environment(compiler, onednn, nvcc, threads, verbose) | _waiting(threads)
    if mpi:
        environment["use_mpi"] = "1"
    core = ""
    if nvcc is None:
        core = jittor_build.core_flags(build, compiler, _jittor_folder() / "src", headers)
        environment |= {"cc_flags": f" {core} ", "kernel_flags": " -Ofast "}
    started = time.monotonic()
    _measure_floats()
    _import_jittor(home, environment, headers, verbose)
    jittor_build.write_one_kernel_at_a_time(build, compiler)
    if nvcc is None:
        jittor_build.speed_up_kernels(build, compiler, core)
    _settle(nvcc is not None, threads, root, verbose)
    return Runtime(
        device="cuda" if nvcc else "cpu",
        cuda=cuda,
        threads=threads,
        onednn=onednn.library if onednn else None,
        cache=root,
        compiler=compiler,
        versions=versions | _versions(compiler),
        seconds=time.monotonic() - started,
        warnings=_warn(onednn),
    )


@contextmanager
def compiling_ahead(device: Device = "auto") -> Iterator[subprocess.Popen[bytes] | None]:
    """Where Jittor is not in the cache yet, compiles it beside work that needs no tensors.

    A process of its own does so, which `bring_up` waits for, and which ends with the block at the
    latest. Whatever is missing here, `bring_up` reports, if it comes to that.
    """
    global _ahead
    if not _can_compile():
        yield None
        return
    code = f"from unidet.backend.runtime import bring_up; bring_up({device!r})"
    null = subprocess.DEVNULL
    _ahead = process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=null, stdout=null, stderr=null, start_new_session=True
    )
    try:
        yield process
    finally:
        _ahead = None
        if process.poll() is None:  # with the compilers that it has started
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for_compilers(verbose: bool) -> None:
    """They are no other work on the cores, for which our threads would sleep ever after."""
    if _ahead is not None and _ahead.poll() is None:
        _say_compiling(verbose)
        _ahead.wait()


def _say_compiling(verbose: bool) -> None:
    if not verbose:
        print("compiling Jittor, once per machine (one to two minutes)…", file=sys.stderr)


def _can_compile() -> bool:
    """Whether there is all that it takes, and no core yet."""
    try:
        compiler, headers = toolchain.find_compiler(), toolchain.find_python_headers()
    except UserError:
        return False
    return not _has_core(_home(toolchain.cache_root(), compiler, headers, toolchain.find_onednn()))


def _has_core(folder: Path) -> bool:
    return any(folder.glob("**/jittor_core*.so"))


def _choose_device(device: Device) -> tuple[Path | None, str]:
    if device == "cpu":
        return None, "not asked for"
    found = toolchain.find_cuda()
    if device == "cuda" and found.nvcc is None:
        raise UserError(f"device=cuda: {found.detail}; use device=cpu or device=auto")
    return found.nvcc, found.detail


def _jittor_folder() -> Path:
    spec = importlib.util.find_spec("jittor")
    if spec is None or spec.origin is None:
        raise UserError("Jittor is not installed: pip install 'jittor==1.3.11.*'")
    return Path(spec.origin).parent


def _versions(compiler: Path) -> dict[str, str]:
    return {
        "jittor": metadata.version("jittor"),
        "compiler": toolchain.compiler_version(compiler),
    }


def _home(root: Path, compiler: Path, headers: Path, onednn: OneDNN | None) -> Path:
    """The cache of one combination; two of them never share a precompiled header."""
    parts = [
        str(_jittor_folder()),
        metadata.version("jittor"),
        str(compiler),
        toolchain.compiler_version(compiler),
        str(headers),
        platform.python_version(),
        str(onednn),
        platform.machine(),
        platform.node(),
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return root / f"jittor-{digest[:12]}"


def _link_onednn(onednn: OneDNN, home: Path) -> None:
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
        if not (link.is_symlink() and link.readlink() == target):
            partial = link.with_name(f"{link.name}.{os.getpid()}")
            partial.symlink_to(target)
            partial.replace(link)


def _environment(
    compiler: Path, onednn: OneDNN | None, nvcc: Path | None, threads: int, verbose: bool
) -> dict[str, str]:
    """Variables that Jittor reads at its import; those of CUDA's extras would start downloads."""
    return {
        "cc_path": str(compiler),
        "cache_name": "unidet",
        "nvcc_path": str(nvcc or ""),
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


def _waiting(threads: int) -> dict[str, str]:
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


def _measure_floats() -> None:
    """Let numpy measure its types, which it keeps: once Jittor's kernels flush denormals, it would
    find the smallest one to be zero and warn."""
    import numpy as np

    for kind in (np.float16, np.float32, np.float64):
        np.finfo(kind)


def _import_jittor(
    home: Path, environment: Mapping[str, str], headers: Path, verbose: bool
) -> None:
    variables = {**environment, "HOME": str(home), "JITTOR_HOME": str(home)}
    with variables_set(variables), signals_kept(), tls_kept(), warnings.catch_warnings():
        # Python's, of Jittor's own strings, where its files have not been compiled before.
        warnings.filterwarnings("ignore", "invalid escape sequence")
        import jittor_utils

        # In a virtual environment Jittor would ask some other Python's python3-config, or none.
        jittor_utils._py3_include_path = f'-I"{headers}"'
        jittor_utils._py3_extension_suffix = sysconfig.get_config_var("EXT_SUFFIX")
        jittor_utils.pool_initializer = _mortal(jittor_utils.pool_initializer)
        if not _has_core(Path(jittor_utils.cache_path)):
            _say_compiling(verbose)
        try:
            import jittor  # noqa: F401
        except Exception as error:
            raise UserError(
                f"Jittor does not start: {_first_line(error)}; `unidet doctor` may tell more, "
                f"or delete {home} to build it anew"
            ) from error
        if jittor_utils.pool_size:
            # The processes that compiled the core would stay, and hold memory, until the end.
            atexit.unregister(jittor_utils.pool_cleanup)
            jittor_utils.pool_cleanup()
            jittor_utils.pool_size = 0


def _mortal(initialize: Callable[[], None]) -> Callable[[], None]:
    """Compiling processes end on SIGTERM, whatever this process has made of that signal.

    They are forked, and would otherwise inherit a handler that only takes note; Jittor waits for
    them to end.
    """

    def start() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        initialize()

    return start


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _settle(cuda: bool, threads: int, root: Path, verbose: bool) -> None:
    import jittor as jt

    if cuda:
        jt.flags.use_cuda = 1
    if not verbose:
        # Jittor prints progress of compilation to std::cerr whatever log_silent says.
        jt.flags.log_file = str(root / "jittor.log")
    # OMP_NUM_THREADS comes too late where another library has loaded OpenMP already.
    ctypes.CDLL("libgomp.so.1").omp_set_num_threads(threads)


def _warn(onednn: OneDNN | None) -> tuple[str, ...]:
    if onednn is not None:
        return ()
    warning = (
        "oneDNN was not found: convolutions will be about 100 times slower; "
        f"on x86-64 Linux: {toolchain.ONEDNN_REMEDY}"
    )
    print(f"warning: {warning}", file=sys.stderr)
    return (warning,)
