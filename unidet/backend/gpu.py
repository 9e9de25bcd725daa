"""What this machine offers for CUDA: the driver, its GPUs, and a toolkit with its libraries.

A toolkit comes from the system or from wheels (`pip install 'unidet[cuda]'`), which put one into
site-packages in pieces. Every library is the one of the compiler's own major version. Nothing here
imports Jittor.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from unidet.errors import UserError

REMEDY = "pip install 'unidet[cuda]' brings one"
OLDEST_TOOLKIT = 11
OLDEST_CAPABILITY = 50
SYSTEM_TOOLKITS = (Path("/usr/local/cuda"), Path("/opt/cuda"))
SYSTEM_FOLDERS = (Path("/usr/include"), Path("/usr/lib/x86_64-linux-gnu"))  # where apt installs
HEADERS = ("cuda_runtime.h", "cublas_v2.h", "curand.h", "cudnn.h", "cub/cub.cuh")
LIBRARIES = ("cudart", "cublas", "cublasLt", "curand", "cudnn")
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR (cuda.h)


class NoCuda(UserError):
    """Why CUDA cannot be used here, and what would help, in one line."""


class NoGpu(NoCuda):
    """There is none, or none that is shown: nothing for CUDA to run on."""


@dataclass(frozen=True)
class Gpu:
    """`capability`: 90 is compute capability 9.0."""

    name: str
    capability: int


@dataclass(frozen=True)
class Driver:
    """`version`: of CUDA, the newest that the driver runs, e.g. (13, 0)."""

    version: tuple[int, int]
    gpus: tuple[Gpu, ...]


@dataclass(frozen=True)
class Toolkit:
    """`libraries`: from names such as "cublas" to files; `headers`: folders to look in."""

    nvcc: Path
    version: tuple[int, int]
    origin: str  # "wheels" or "system"
    headers: tuple[Path, ...]
    libraries: dict[str, Path]

    @property
    def summary(self) -> str:
        return f"CUDA {self.version[0]}.{self.version[1]} from {self.origin} ({self.nvcc})"


@dataclass(frozen=True)
class Cuda:
    """A driver with a GPU and a toolkit that fits it."""

    driver: Driver
    toolkit: Toolkit

    @property
    def capabilities(self) -> list[int]:
        return sorted({gpu.capability for gpu in self.driver.gpus})

    @property
    def summary(self) -> str:
        names = ", ".join(f"{gpu.name} (sm_{gpu.capability})" for gpu in self.driver.gpus)
        return f"{names}, {self.toolkit.summary}"


def find_cuda() -> Cuda:
    """The driver and the first complete toolkit.

    Raises:
        NoCuda: what is missing, too old, or at odds with the rest.
    """
    driver = find_driver()
    toolkit = find_toolkit()
    if toolkit.version[0] > driver.version[0]:
        newest = ".".join(map(str, driver.version))
        raise NoCuda(
            f"the NVIDIA driver runs CUDA up to {newest}, the toolkit {toolkit.nvcc} is of CUDA "
            f"{toolkit.version[0]}: update the driver, or install a toolkit of CUDA "
            f"{driver.version[0]} and put its nvcc on PATH"
        )
    old = [gpu for gpu in driver.gpus if gpu.capability < _oldest_capability(toolkit)]
    if old:
        raise NoCuda(
            f"CUDA {toolkit.version[0]} no longer builds for {old[0].name} (compute capability "
            f"{old[0].capability / 10}): hide it with CUDA_VISIBLE_DEVICES, or use an older toolkit"
        )
    return Cuda(driver, toolkit)


def _oldest_capability(toolkit: Toolkit) -> int:
    return 75 if toolkit.version[0] >= 13 else OLDEST_CAPABILITY


def find_driver() -> Driver:
    """What libcuda says; it heeds CUDA_VISIBLE_DEVICES.

    Raises:
        NoGpu: there is no driver, it does not start, or it shows no GPU.
    """
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise NoGpu("no NVIDIA driver (libcuda.so.1)") from error
    status = library.cuInit(0)
    if status != 0:
        raise NoGpu(f"the NVIDIA driver does not start (cuInit returned {status})")
    gpus = tuple(_gpu(library, index) for index in range(_ask(library.cuDeviceGetCount)))
    if not gpus:
        raise NoGpu("the NVIDIA driver shows no GPU (is CUDA_VISIBLE_DEVICES empty?)")
    version = _ask(library.cuDriverGetVersion)
    return Driver((version // 1000, version % 1000 // 10), gpus)


def _gpu(library: ctypes.CDLL, index: int) -> Gpu:
    name = ctypes.create_string_buffer(256)
    library.cuDeviceGetName(name, len(name), index)
    major, minor = (
        _ask(library.cuDeviceGetAttribute, attribute, index) for attribute in (_MAJOR, _MINOR)
    )
    return Gpu(name.value.decode(errors="replace"), 10 * major + minor)


def _ask(question: ctypes._NamedFuncPointer, *arguments: int) -> int:
    """The number that a driver's function writes; 0 where it fails."""
    answer = ctypes.c_int(0)
    status = question(ctypes.byref(answer), *arguments)
    return answer.value if status == 0 else 0


@lru_cache(maxsize=1)
def find_toolkit() -> Toolkit:
    """The first complete one: `nvcc` on PATH, the usual folders, then wheels.

    Raises:
        NoCuda: there is none; says what the nearest one lacks.
    """
    lacks: list[str] = []
    for nvcc in _compilers():
        found = _toolkit(nvcc)
        if isinstance(found, Toolkit):
            return found
        lacks.append(found)
    raise NoCuda(f"{lacks[0]}; {REMEDY}" if lacks else f"no CUDA toolkit (nvcc): {REMEDY}")


def _compilers() -> Iterator[Path]:
    on_path = shutil.which("nvcc")
    system = [folder / "bin" / "nvcc" for folder in SYSTEM_TOOLKITS]
    wheels = [folder / "bin" / "nvcc" for folder in _wheel_folders()]
    chosen = [Path(on_path)] if on_path else []
    for nvcc in (*chosen, *system, *wheels):
        if os.access(nvcc, os.X_OK):
            yield _behind(nvcc.resolve())


def _behind(nvcc: Path) -> Path:
    """The compiler in its toolkit, where `nvcc` is a script that starts it."""
    command = [str(nvcc), "--dryrun", "-x", "cu", "-c", os.devnull]
    shown = subprocess.run(command, capture_output=True, text=True).stderr
    match = re.search(r"^#\$ _HERE_=(.+)$", shown, flags=re.MULTILINE)
    return Path(match.group(1)).resolve() / "nvcc" if match else nvcc


def _toolkit(nvcc: Path) -> Toolkit | str:
    """The toolkit around a compiler, or what it lacks."""
    version = _version(nvcc)
    if version is None:
        return f"{nvcc} does not run"
    if version[0] < OLDEST_TOOLKIT:
        return f"{nvcc} is of CUDA {version[0]}, older than {OLDEST_TOOLKIT}"
    wheels = _wheel_folders()
    folders = [nvcc.parents[1], *wheels]
    headers = [folder / "include" for folder in folders]
    headers += [folder / "include" / "cccl" for folder in folders]
    headers += [folder / "cccl" for folder in wheels]
    places = [folder / name for folder in folders for name in ("lib64", "lib")]
    libraries = {
        name: path
        for name in LIBRARIES
        for path in [_library(name, version[0], [*places, *SYSTEM_FOLDERS])]
        if path is not None
    }
    missing = [f"lib{name}.so" for name in LIBRARIES if name not in libraries]
    known = [folder for folder in headers if folder.is_dir()]
    seen = [*known, SYSTEM_FOLDERS[0]]
    missing += [name for name in HEADERS if not any((folder / name).is_file() for folder in seen)]
    if missing:
        return f"the CUDA {version[0]} toolkit of {nvcc} lacks {', '.join(missing)}"
    origin = "wheels" if any(folder in nvcc.parents for folder in wheels) else "the system"
    return Toolkit(nvcc, version, origin, tuple(known), libraries)


def _version(nvcc: Path) -> tuple[int, int] | None:
    done = subprocess.run([nvcc, "--version"], capture_output=True, text=True)
    match = re.search(r"release (\d+)\.(\d+)", done.stdout)
    return (int(match.group(1)), int(match.group(2))) if match else None


def _library(name: str, major: int, places: list[Path]) -> Path | None:
    """A file whose number fits; those of cuRAND and cuDNN are not CUDA's."""
    number = {"curand": "10", "cudnn": "[89]"}.get(name, f"{major}*")
    for place in places:
        if matches := sorted(place.glob(f"lib{name}.so.{number}")):
            return matches[-1].resolve()
    return None


def _wheel_folders() -> list[Path]:
    """Where wheels of NVIDIA put `bin`, `include` and `lib`: nvidia/cu13, nvidia/cudnn, …"""
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return [folder for place in places for folder in sorted(Path(place).iterdir())]
