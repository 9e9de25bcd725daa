"""CUDA toolkits on this machine: each compiler, and the headers and libraries that go with it.

A toolkit comes from the system or from wheels (`pip install 'unidet[cuda]'`), which put one into
site-packages in pieces. Every library is the one of the compiler's own major version. Nothing here
imports Jittor.
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
_SECONDS = 60  # for a compiler's answer about itself


@dataclass(frozen=True)
class Toolkit:
    """`capabilities`: what it builds machine code for, 90 being 9.0; empty where it does not say.

    `libraries`: from names such as "cublas" to files; `headers`: the compiler's own folders;
    `more_headers`: those of wheels, for names that the former lack. Headers of two versions side by
    side do not go together.
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
    """All there are, or what each lacks: `nvcc` on PATH, the usual folders, then wheels."""
    return map(_toolkit, compilers())


def compilers() -> Iterator[Path]:
    """Every `nvcc`, once."""
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
    """The compiler in its toolkit, where `nvcc` is a script that starts it."""
    shown = _says(nvcc, "--dryrun", "-x", "cu", "-c", os.devnull)
    match = re.search(r"^#\$ _HERE_=(.+)$", shown, flags=re.MULTILINE)
    return Path(match.group(1)).resolve() / "nvcc" if match else nvcc


def _says(nvcc: Path, *arguments: str) -> str:
    """All that it prints; nothing where it cannot be started."""
    try:
        done = run_tool([str(nvcc), *arguments], text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout + done.stderr


def _toolkit(nvcc: Path) -> Toolkit | str:
    """The toolkit around a compiler, or what it lacks."""
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
    """No wheel of another CUDA: those of 13 and later share a folder named after it."""
    return wheel.name == f"cu{major}" or not re.fullmatch(r"cu\d+", wheel.name)


def _header_folders(own: Path, wheels: list[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Those of the toolkit in `own`, and those of wheels beside it."""
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
    """Whether it is there. A folder such as `cub` comes whole from one place."""
    for places in ([*headers, SYSTEM_FOLDERS[0]], more_headers):
        if any((place / Path(name).parts[0]).exists() for place in places):
            return any((place / name).is_file() for place in places)
    return False


def _library(name: str, major: int, places: list[Path]) -> Path | None:
    """A file whose number fits; those of cuRAND and cuDNN are not CUDA's."""
    number = {"curand": "10", "cudnn": "[89]"}.get(name, f"{major}*")
    for place in places:
        if matches := sorted(place.glob(f"lib{name}.so.{number}")):
            return matches[-1].resolve()
    return None


def _cudnn_of_another_cuda(major: int) -> str:
    """cuDNN's wheels for each CUDA have one folder between them, and one name for the library."""
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
    """Where wheels of NVIDIA put `bin`, `include` and `lib`: nvidia/cu13, nvidia/cudnn, …"""
    spec = importlib.util.find_spec("nvidia")
    places = list(spec.submodule_search_locations or ()) if spec else []
    return [folder for place in places for folder in sorted(Path(place).iterdir())]
