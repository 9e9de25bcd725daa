"""Finds what Jittor needs to build and run: compiler, headers, oneDNN, a writable cache.

Nothing here imports Jittor, so `unidet doctor` can check each part even if Jittor does not start.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import statistics
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from unidet.backend.tools import run_tool
from unidet.errors import UserError

COMPILER_REMEDY = "apt install g++ (Debian, Ubuntu), dnf install gcc-c++ (Fedora)"
ONEDNN_REMEDY = "pip install 'onednn-cpu-gomp==2022.2.*' 'onednn-devel-cpu-gomp==2022.2.*'"
NUMPY_REMEDY = "pip install 'numpy<2'"
MOST_THREADS = 1024
LOAD = Path("/proc/loadavg")
_SMALL_LIBRARY = """#include <algorithm>
#include <vector>
extern "C" int largest(const int* values, int count) {
    std::vector<int> copied(values, values + count);
    return *std::max_element(copied.begin(), copied.end());
}
"""


@dataclass(frozen=True)
class OneDNN:
    """The installed oneDNN, a library of convolutions."""

    include: Path
    library: Path


def require_writable(folder: Path) -> None:
    """Creates `folder` and writes a file into it.

    Raises:
        UserError: it is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"compile cache {folder} cannot be written ({error.strerror}): "
            "set UNIDET_CACHE to a writable folder"
        ) from error


def installed(package: str) -> str | None:
    """The version of a package, without importing it; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def require_numpy_1() -> str:
    """The version of numpy, without importing it.

    Raises:
        UserError: numpy is missing, or is 2 or later: Jittor then silently corrupts data.
    """
    version = installed("numpy")
    if version is None:
        raise UserError(f"numpy is not installed: {NUMPY_REMEDY}")
    if int(version.split(".")[0]) >= 2:
        raise UserError(
            f"numpy {version} silently corrupts data in Jittor, which needs numpy < 2: "
            f"{NUMPY_REMEDY}"
        )
    return version


def find_compiler() -> Path:
    """The C++ compiler: `$cc_path` (Jittor's own variable) or the `g++` on PATH.

    Raises:
        UserError: it is not found.
    """
    chosen = os.environ.get("cc_path") or "g++"  # noqa: SIM112 (Jittor's own spelling)
    found = shutil.which(chosen)
    if found is None:
        raise UserError(
            f"no C++ compiler: {chosen} was not found. Jittor compiles its kernels on this "
            f"machine: {COMPILER_REMEDY}"
        )
    return Path(found)


def compiler_version(compiler: Path) -> str:
    """The version as the compiler prints it, e.g. "12.2.0"; "unknown" if it prints none.

    Raises:
        UserError: the compiler fails.
    """
    done = run_tool([str(compiler), "--version"], text=True)
    if done.returncode:
        raise UserError(
            f"{compiler} --version: exit status {done.returncode}; is it a C++ compiler?"
        )
    match = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return match.group() if match else "unknown"


def require_working(compiler: Path) -> None:
    """Compiles and links a small library of C++14, as Jittor does.

    A compiler may be there without the C++ library's headers or a linker, or be too old. Jittor's
    own error then looks as if the compiler had been stopped.

    Raises:
        UserError: the compiler fails; with the first error that it prints.
    """
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "small.cc"
        source.write_text(_SMALL_LIBRARY, encoding="utf-8")
        flags = ["-std=c++14", "-fPIC", "-shared", "-fdiagnostics-color=never"]
        done = run_tool(
            [str(compiler), *flags, str(source), "-o", f"{folder}/small.so"],
            env={**os.environ, "LC_ALL": "C"},
            text=True,
            errors="replace",
        )
    if done.returncode:
        lines = done.stderr.splitlines()
        fault = next((line for line in lines if "error" in line), "\n".join(lines[:1]))
        said = fault.replace(f"{source}:", "").strip() or f"exit status {done.returncode}"
        raise UserError(
            f"{compiler} compiles no C++14 ({said}): {COMPILER_REMEDY}, or export cc_path=/path/to/"
            "another/g++"
        )


def find_python_headers() -> Path:
    """The folder with this interpreter's Python.h, also inside a virtual environment.

    Raises:
        UserError: the headers are not installed.
    """
    include = Path(sysconfig.get_path("include", vars={"installed_base": sys.base_prefix}))
    if not (include / "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UserError(
            f"no Python.h in {include}: apt install python{version}-dev (Debian, Ubuntu), "
            "or use a Python that brings its headers"
        )
    return include


def find_onednn() -> OneDNN | None:
    """oneDNN 2.6 from its wheels; None if they are not installed."""
    library = _installed_file("onednn-cpu-gomp", "lib", "libdnnl.so.2")
    header = _installed_file("onednn-devel-cpu-gomp", "include", "dnnl.hpp")
    if library is None or header is None:
        return None
    return OneDNN(header.parent, library)


def _installed_file(distribution_name: str, folder: str, name: str) -> Path | None:
    try:
        distribution = metadata.distribution(distribution_name)
    except metadata.PackageNotFoundError:
        return None
    recorded = [
        Path(str(distribution.locate_file(path)))
        for path in distribution.files or ()
        if path.name == name
    ]
    bases = [Path(str(distribution.locate_file(""))), Path(sys.prefix)]
    if site.ENABLE_USER_SITE:
        bases.append(Path(site.getuserbase()))
    candidates = sorted(recorded, key=lambda path: len(path.parts))
    candidates += [base / folder / name for base in bases]
    return next((path.resolve() for path in candidates if path.is_file()), None)


def checked_threads(threads: int) -> int:
    """This number of threads, or `default_threads` for 0.

    Raises:
        UserError: there are more than any machine has cores; OpenMP would end the process.
    """
    threads = threads or default_threads()
    if threads > MOST_THREADS:
        raise UserError(
            f"{threads} threads are more than {MOST_THREADS}; set runtime.threads, or "
            "OMP_NUM_THREADS, to the number of cores at most"
        )
    return threads


def default_threads() -> int:
    """`$OMP_NUM_THREADS`, else the number of cores that this process may use."""
    chosen = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(chosen) if chosen.isdigit() and int(chosen) > 0 else len(os.sched_getaffinity(0))


def cores_are_free(threads: int, *, looks: int = 5, pause: float = 0.005) -> bool:
    """Whether at least `threads` cores of this machine are idle.

    Takes the median of a few counts of runnable tasks in /proc/loadavg (proc(5)), minus this
    process, so that short tasks do not count as load. False if the file is not readable.

    Args:
        looks: number of counts.
        pause: between counts, in seconds.
    """
    counts = []
    for _ in range(looks):
        try:
            counts.append(int(LOAD.read_text(encoding="utf-8").split()[3].split("/")[0]))
        except (OSError, IndexError, ValueError):  # not Linux, or hidden from a container
            return False
        time.sleep(pause)
    others = statistics.median(counts) - 1
    return others + threads <= (os.cpu_count() or 1)
