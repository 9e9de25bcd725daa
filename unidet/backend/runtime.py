"""Imports and configures Jittor: oneDNN, CPU or CUDA, compile cache, threads.

Jittor configures itself at import, from environment variables and files below the home folder.
`bring_up` sets them only during the import and then restores the state of the process: signal
handlers (Jittor's end the process at once, also on Ctrl-C), TLS verification (Jittor turns it off),
the recursion limit, HOME and every other variable. Call it before anything imports Jittor.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Literal

from unidet.backend import build as jittor_build
from unidet.backend import (
    cuda_build,
    importing,
    kernels,
    memory,
    nccl,
    onednn_sources,
    process_gpus,
    toolchain,
    trial,
)
from unidet.backend.gpu import Cuda, NoCuda, NoGpu, find_cuda, require_free
from unidet.backend.interpreter import python_command
from unidet.backend.toolchain import OneDNN
from unidet.config.places import cache_root
from unidet.errors import UserError

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Runtime:
    """The configuration with which Jittor runs."""

    device: Literal["cpu", "cuda"]
    cuda: str  # why CUDA is or is not used
    threads: int
    onednn: Path | None
    cache: Path
    compiler: Path
    versions: dict[str, str]
    seconds: float  # of the import, including compilation if the cache was empty
    warnings: tuple[str, ...]
    process: int = field(default_factory=os.getpid)  # the process that has Jittor's threads


@dataclass(frozen=True)
class _Tools:
    """Needed for every build: the C++ compiler and the folder of Python.h."""

    compiler: Path
    headers: Path


_runtime: Runtime | None = None
_ahead: subprocess.Popen[bytes] | None = None


def bring_up(
    device: Device = "auto", threads: int = 0, verbose: bool = False, *, mpi: bool = False
) -> Runtime:
    """Imports Jittor with suitable settings; later calls return the first call's result.

    Args:
        device: "auto" uses CUDA if a trial has shown that it works.
        threads: number of OpenMP threads; 0 means `$OMP_NUM_THREADS`, else the number of cores that
            the process may use.
        verbose: show the output of Jittor and the compiler.
        mpi: this process is one of several that `mpirun` has started for one training. With "cuda"
            each uses its own GPU, which the process that started them has tried.

    Raises:
        UserError: there is no working compiler, Python.h or Jittor; numpy is 2 or later; the cache
            is not writable; there are too many threads; `device` is "cuda" and CUDA is not usable;
            `device` differs from the first call's; the process was forked after Jittor was
            imported; Jittor does not start.
        RuntimeError: Jittor was imported before the first call.
    """
    global _runtime
    require_own_process()
    if _runtime is None:
        _runtime = _bring_up(device, threads, verbose, mpi)
    elif device not in ("auto", _runtime.device):
        raise UserError(f"device={device}: Jittor already runs on {_runtime.device} here")
    return _runtime


def require_own_process() -> None:
    """Raises UserError in a process that was forked after Jittor was imported.

    Its first kernel would wait forever, for threads that the fork did not copy.
    """
    if _runtime is not None and _runtime.process != os.getpid():
        raise UserError(
            "this process was forked from one in which Jittor runs, and lacks its threads; start "
            "processes with multiprocessing.get_context('spawn'), and load the model in each"
        )


def bring_up_untried() -> Runtime:
    """`bring_up` on CUDA without a trial; the trial itself calls it."""
    global _runtime
    _runtime = _bring_up("cuda", 0, True, False, tried=True)
    return _runtime


def _bring_up(
    device: Device, threads: int, verbose: bool, mpi: bool, *, tried: bool = False
) -> Runtime:
    if "jittor" in sys.modules or "jittor_utils" in sys.modules:
        raise RuntimeError("jittor was imported before unidet.backend.runtime.bring_up()")
    threads = toolchain.checked_threads(threads)
    versions = {"python": platform.python_version(), "numpy": toolchain.require_numpy_1()}
    root = cache_root()
    toolchain.require_writable(root)
    tools = _Tools(toolchain.find_compiler(), toolchain.find_python_headers())
    onednn = toolchain.find_onednn()
    cuda, why, warning = _choose_device(device, mpi=mpi, tried=tried)
    home = _home(root, tools, onednn, cuda)
    if onednn is not None:
        importing.link_onednn(onednn, home)
    _wait_for_compilers(verbose)
    if not importing.has_core(home):
        toolchain.require_working(tools.compiler)
    started = time.monotonic()
    prepared = _for_cuda(cuda, home) if cuda else _for_cpu(tools, home)
    environment = importing.environment(tools.compiler, onednn, threads, verbose)
    environment |= prepared | importing.waiting(threads) | ({"use_mpi": "1"} if mpi else {})
    importing.measure_floats()
    state = importing.import_jittor(home, _jittor_folder(), environment, tools.headers, verbose)
    kernels.manage(state, home / "build", tools.compiler)
    if cuda:
        cuda_build.add_operations(home / "cuda")
        cuda_build.settle_kernels(cuda)
        if mpi and (collectives := nccl.find_nccl()):
            nccl.add_collectives(collectives, home / "cuda")
    else:
        memory.keep_memory()
        if onednn is not None:
            memory.keep_few_primitives(onednn.library)
            sources = onednn_sources.copy_convolutions(_jittor_folder(), home / "onednn")
            kernels.take_sources(sources, home / "build", tools.compiler)
        core = prepared["cc_flags"].strip()
        jittor_build.speed_up_kernels(home / "build", tools.compiler, core)
    _settle(cuda is not None, threads, root, verbose)
    return Runtime(
        device="cuda" if cuda else "cpu",
        cuda=why,
        threads=threads,
        onednn=onednn.library if onednn else None,
        cache=root,
        compiler=tools.compiler,
        versions=versions | _versions(tools.compiler),
        seconds=time.monotonic() - started,
        warnings=_warn(onednn, warning),
    )


def _for_cpu(tools: _Tools, home: Path) -> dict[str, str]:
    """Prepares the build for the CPU; returns variables for Jittor's import."""
    sources = _jittor_folder() / "src"
    core = jittor_build.core_flags(home / "build", tools.compiler, sources, tools.headers)
    return {"nvcc_path": "", "cc_flags": f" {core} ", "kernel_flags": " -Ofast "}


def _for_cuda(cuda: Cuda, home: Path) -> dict[str, str]:
    """Prepares the toolkit and loads its libraries; returns variables for Jittor's import."""
    nvcc = cuda_build.lay_out(cuda.toolkit, home / "cuda")
    cuda_build.load_libraries(cuda.toolkit)
    return {
        "nvcc_path": str(nvcc),
        "cc_flags": f" {cuda_build.core_flags(cuda.toolkit, home / 'cuda')} ",
        "kernel_flags": " -Ofast ",
        "conv_opt": "1",  # no cuDNN, cuFFT, cuSPARSE: Jittor stops if one of them is missing
        "cuda_archs": " ".join(map(str, cuda.capabilities)),
    }


@contextmanager
def compiling_ahead(device: Device = "auto") -> Iterator[subprocess.Popen[bytes] | None]:
    """Compiles Jittor in a separate process while the block runs, if the cache does not have it.

    `bring_up` waits for that process, and the process ends with the block at the latest. Errors are
    not reported here: `bring_up` reports them if Jittor is needed.

    Yields:
        The process; None if there is nothing to compile, or a requirement is missing.
    """
    global _ahead
    try:
        lacks_core = _lacks_core(device)
    except UserError:
        lacks_core = False
    if not lacks_core:
        yield None
        return
    code = f"from unidet.backend.runtime import bring_up; bring_up({device!r})"
    null = subprocess.DEVNULL
    _ahead = process = subprocess.Popen(
        python_command(code), stdin=null, stdout=null, stderr=null, start_new_session=True
    )
    try:
        yield process
    finally:
        _ahead = None
        if process.poll() is None:  # its compilers end with it: they are in the same group
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _wait_for_compilers(verbose: bool) -> None:
    """Waits for them, so that `importing.waiting` does not count them as other load."""
    if _ahead is not None and _ahead.poll() is None:
        importing.say_compiling(verbose)
        _ahead.wait()


def require_compiling(device: Device = "auto") -> None:
    """UserError, as `bring_up` would raise it later, where this machine cannot compile Jittor."""
    toolchain.require_numpy_1()
    toolchain.require_writable(cache_root())
    if _lacks_core(device):
        toolchain.require_working(toolchain.find_compiler())


def _lacks_core(device: Device) -> bool:
    """Whether the core is not compiled yet; UserError without a compiler or Python's headers."""
    cuda = None
    if device != "cpu":
        with suppress(NoCuda):
            cuda = find_cuda()
    tools = _Tools(toolchain.find_compiler(), toolchain.find_python_headers())
    return not importing.has_core(_home(cache_root(), tools, toolchain.find_onednn(), cuda))


def try_cuda(*, again: bool = False) -> Cuda:
    """The GPU and its toolkit, after a trial has succeeded; `again`: repeat the trial.

    Raises:
        NoCuda: CUDA cannot be used (NoGpu: there is no GPU), or the trial failed.
        UserError: there is no compiler or Python.h.
    """
    cuda = find_cuda()
    require_free()
    tools = _Tools(toolchain.find_compiler(), toolchain.find_python_headers())
    home = _home(cache_root(), tools, toolchain.find_onednn(), cuda)
    trial.require_success(cuda, home, again=again)
    return cuda


def _choose_device(
    device: Device, *, mpi: bool = False, tried: bool = False
) -> tuple[Cuda | None, str, str]:
    """CUDA or None; the reason; and a warning if there is a GPU that is not used."""
    if device == "cpu" or (mpi and device == "auto"):
        return None, "not asked for", ""
    try:
        if mpi:
            process_gpus.take_own_gpu()
        cuda = find_cuda() if mpi or tried else try_cuda()
    except NoCuda as problem:
        if device == "cuda":
            raise problem.refusal() from problem
        idle = "" if isinstance(problem, NoGpu) else f"the GPU is not used: {problem}"
        return None, str(problem), idle
    return cuda, cuda.summary, ""


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


def _home(root: Path, tools: _Tools, onednn: OneDNN | None, cuda: Cuda | None = None) -> Path:
    """The cache folder of one combination; no two combinations share a precompiled header."""
    parts = [
        str(_jittor_folder()),
        metadata.version("jittor"),
        str(tools.compiler),
        toolchain.compiler_version(tools.compiler),
        str(tools.headers),
        platform.python_version(),
        str(onednn),
        platform.machine(),
        platform.node(),
        *([] if cuda is None else [str(cuda.toolkit), str(cuda.capabilities)]),
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return root / f"jittor-{digest[:12]}"


def _settle(cuda: bool, threads: int, root: Path, verbose: bool) -> None:
    import jittor as jt

    if cuda:
        jt.flags.use_cuda = 1
    if not verbose:
        # Jittor prints compilation progress to std::cerr even with log_silent.
        jt.flags.log_file = str(root / "jittor.log")
    # OMP_NUM_THREADS has no effect if another library has already loaded OpenMP.
    ctypes.CDLL("libgomp.so.1").omp_set_num_threads(threads)


def _warn(onednn: OneDNN | None, gpu: str) -> tuple[str, ...]:
    warnings = [gpu] if gpu else []
    if onednn is None:
        warnings.append(
            "oneDNN was not found: convolutions will be about 100 times slower; "
            f"on x86-64 Linux: {toolchain.ONEDNN_REMEDY}"
        )
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return tuple(warnings)
