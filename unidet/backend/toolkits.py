"""Finds CUDA toolkits on this machine: each compiler with its headers and libraries.

A toolkit comes from the system or from wheels (`pip install 'unidet[cuda]'`), which install it into
site-packages in parts. All libraries match the compiler's major version. Nothing here imports
Jittor.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unidet.backend.toolchain import installed
from unidet.backend.tools import run_tool

OLDEST_TOOLKIT = 11
SYSTEM_TOOLKITS = (Path("/usr/local/cuda"), Path("/opt/cuda"))
SYSTEM_FOLDERS = (Path("/usr/include"), Path("/usr/lib/x86_64-linux-gnu"))  # where apt installs
HEADERS = (
    "cuda_runtime.h",
    "crt/host_config.h",
    "cublas_v2.h",
    "curand.h",
    "cudnn.h",
    "cub/cub.cuh",
)
LIBRARIES = ("cudart", "cublas", "cublasLt", "curand", "cudnn")
_SECONDS = 60  # time limit for a query to the compiler


@dataclass(frozen=True)
class Toolkit:
    """A complete CUDA toolkit.

    Headers of two versions cannot be mixed, so headers of wheels only fill gaps.

    Attributes:
        version: major and minor version of CUDA.
        headers: include folders of the compiler's own toolkit.
        libraries: short name, such as "cublas" -> file.
        capabilities: compute capabilities, times 10 (90 for 9.0), for which it builds machine code;
            empty if the compiler does not list them.
        more_headers: include folders of wheels, for names that `headers` lack.
    """

    nvcc: Path
    version: tuple[int, int]
    origin: str  # "wheels" or "the system"
    headers: tuple[Path, ...]
    libraries: dict[str, Path]
    capabilities: tuple[int, ...] = ()
    more_headers: tuple[Path, ...] = ()

    @property
    def summary(self) -> str:
        return f"CUDA {self.version[0]}.{self.version[1]} from {self.origin} ({self.nvcc})"


def toolkits() -> Iterator[Toolkit | str]:
    """Toolkits, or what each lacks: of `nvcc` on PATH, of usual folders, then of wheels."""
    return map(_toolkit, compilers())


def compilers() -> Iterator[Path]:
    """Every `nvcc`, without duplicates."""
    on_path = shutil.which("nvcc")
    system = [folder / "bin" / "nvcc" for folder in SYSTEM_TOOLKITS]
    wheels = [folder / "bin" / "nvcc" for folder in wheel_folders()]
    chosen = [Path(on_path)] if on_path else []
    seen = set()
    for nvcc in (*chosen, *system, *wheels):
        if os.access(nvcc, os.X_OK) and (compiler := _behind(nvcc.resolve())) not in seen:
            seen.add(compiler)
            yield compiler


def _behind(nvcc: Path) -> Path:
    """The compiler itself if `nvcc` is a script that starts it."""
    shown = _says(nvcc, "--dryrun", "-x", "cu", "-c", os.devnull)
    match = re.search(r"^#\$ _HERE_=(.+)$", shown, flags=re.MULTILINE)
    return Path(match.group(1)).resolve() / "nvcc" if match else nvcc


def _says(nvcc: Path, *arguments: str) -> str:
    """Its output and error output; empty if it does not start or answer in time."""
    try:
        done = run_tool([str(nvcc), *arguments], text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _toolkit(nvcc: Path) -> Toolkit | str:
    """The toolkit of a compiler, or what it lacks."""
    match = re.search(r"release (\d+)\.(\d+)", _says(nvcc, "--version"))
    if match is None:
        return f"{nvcc} does not run"
    version = int(match.group(1)), int(match.group(2))
    if version[0] < OLDEST_TOOLKIT:
        return f"{nvcc} is of CUDA {version[0]}, older than {OLDEST_TOOLKIT}"
    wheels = [folder for folder in wheel_folders() if _is_of(version[0], folder)]
    headers, more_headers = _header_folders(nvcc.parents[1], wheels)
    folders = [nvcc.parents[1], *wheels]
    places = [folder / name for folder in folders for name in ("lib64", "lib")]
    libraries = {
        name: path
        for name in LIBRARIES
        for path in [_library(name, version[0], [*places, *SYSTEM_FOLDERS])]
        if path is not None
    }
    missing = [f"lib{name}.so" for name in LIBRARIES if name not in libraries]
    missing += [name for name in HEADERS if not _has_header(name, headers, more_headers)]
    if missing:
        return f"the CUDA {version[0]} toolkit of {nvcc} lacks {', '.join(missing)}"
    if any(folder in libraries["cudnn"].parents for folder in wheels) and (
        odds := _cudnn_of_another_cuda(version[0])
    ):
        return odds
    origin = "wheels" if any(folder in nvcc.parents for folder in wheels) else "the system"
    codes = re.findall(r"^sm_(\d+)$", _says(nvcc, "--list-gpu-code"), flags=re.MULTILINE)
    capabilities = tuple(sorted(map(int, codes)))
    return Toolkit(nvcc, version, origin, headers, libraries, capabilities, more_headers)


def _is_of(major: int, wheel: Path) -> bool:
    """Whether a wheel folder fits this CUDA; from 13 on a folder is named after its CUDA."""
    return wheel.name == f"cu{major}" or not re.fullmatch(r"cu\d+", wheel.name)


def _header_folders(own: Path, wheels: list[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Include folders of the toolkit in `own`, and those of the other wheels."""
    headers, more_headers = (
        [
            place
            for folder in folders
            for place in (folder / "include", folder / "include" / "cccl")
            if place.is_dir()
        ]
        for folders in ([own], [folder for folder in wheels if folder != own])
    )
    return tuple(headers), tuple(more_headers)


def _has_header(name: str, headers: tuple[Path, ...], more_headers: tuple[Path, ...]) -> bool:
    """Whether a header is found; its top folder, such as `cub`, must not mix both groups."""
    for places in ([*headers, SYSTEM_FOLDERS[0]], more_headers):
        if any((place / Path(name).parts[0]).exists() for place in places):
            return any((place / name).is_file() for place in places)
    return False


def _library(name: str, major: int, places: list[Path]) -> Path | None:
    """The library file of a matching version; cuRAND and cuDNN are numbered differently."""
    number = {"curand": "10", "cudnn": "[89]"}.get(name, f"{major}*")
    for place in places:
        if matches := sorted(place.glob(f"lib{name}.so.{number}")):
            return matches[-1].resolve()
    return None


def _cudnn_of_another_cuda(major: int) -> str:
    """What to do if cuDNN's wheel is for another CUDA; its wheels share a folder and file names."""
    names = [f"nvidia-cudnn-cu{cuda}" for cuda in (11, 12, 13)]
    there, wanted = [name for name in names if installed(name)], f"nvidia-cudnn-cu{major}"
    if len(there) > 1:
        return (
            f"{' and '.join(there)} overwrite each other's files: pip uninstall {' '.join(there)}; "
            f"pip install {wanted}"
        )
    if there and there != [wanted]:
        return f"CUDA {major} needs {wanted}, and {there[0]} is installed: pip install it in place"
    return ""


def wheel_folders() -> list[Path]:
    """Folders with `bin`, `include` and `lib` of NVIDIA's wheels: nvidia/cu13, nvidia/cudnn, …"""
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return [folder for place in places for folder in sorted(Path(place).iterdir())]
