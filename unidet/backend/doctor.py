"""`unidet doctor`: checks each part of the installation and suggests fixes."""

from __future__ import annotations

import importlib
import platform
import shutil
import sys
import textwrap
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from unidet.backend import toolchain
from unidet.backend.gpu import NoCuda, NoGpu, find_driver, find_toolkit
from unidet.config.places import cache_root
from unidet.errors import UserError

WIDTH = 80
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
OPENCV_REMEDY = "pip install 'opencv-python<4.12' (newer ones want numpy 2)"
HEADLESS_REMEDY = (
    "apt install libgl1, or: pip uninstall opencv-python; pip install 'opencv-python-headless<4.12'"
)
BUILT_FOR_NUMPY = {
    "scipy": "scipy.optimize",
    "pandas": "pandas",
    "matplotlib": "matplotlib.pyplot",
    "pycocotools": "pycocotools.mask",
}
"""Packages with compiled extensions -> the module that unidet imports."""
_GIBIBYTE = 1 << 30
_SPACE_NEEDED = 2 * _GIBIBYTE  # compile cache, weights and a toy study


@dataclass(frozen=True)
class Finding:
    """One row of the table: what was checked, its state, and how to fix it."""

    state: Literal["OK", "WARN", "FAIL"]
    subject: str
    detail: str
    remedy: str = ""


def run() -> int:
    """Prints the table; returns 1 if any check fails, else 0 (also with warnings)."""
    findings = []
    for check in CHECKS:
        finding = check()
        findings.append(finding)
        print("\n".join(rows(finding)), flush=True)
    faults = sum(finding.state == "FAIL" for finding in findings)
    warnings = sum(finding.state == "WARN" for finding in findings)
    print(f"\n{faults} faults, {warnings} warnings")
    return 1 if faults else 0


def rows(finding: Finding) -> list[str]:
    """The finding as lines of at most 80 columns."""
    indent = " " * 16
    head = f"{finding.state:5}{finding.subject:11}"
    wrap = {"width": WIDTH, "subsequent_indent": indent, "break_on_hyphens": False}
    lines = textwrap.wrap(finding.detail, initial_indent=head, **wrap)  # type: ignore[arg-type]
    if finding.remedy:
        remedy = f"-> {finding.remedy}"
        lines += textwrap.wrap(remedy, initial_indent=indent, **wrap)  # type: ignore[arg-type]
    return lines


def check_python() -> Finding:
    version = platform.python_version()
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        return Finding("FAIL", "python", version, "use Python 3.10, 3.11 or 3.12")
    try:
        headers = toolchain.find_python_headers()
    except UserError as error:
        return Finding("FAIL", "python", f"{version}: {error}")
    return Finding("OK", "python", f"{version}, headers in {headers}")


def check_numpy() -> Finding:
    try:
        return Finding("OK", "numpy", toolchain.require_numpy_1())
    except UserError as error:
        return Finding("FAIL", "numpy", str(error), toolchain.NUMPY_REMEDY)


def check_opencv() -> Finding:
    """For videos and the lvis package. OpenCV's wheels overwrite each other's files."""
    found = {name: toolchain.installed(name) for name in OPENCV}
    there = [f"{name} {version}" for name, version in found.items() if version]
    detail = ", ".join(there) or "not installed: no videos"
    if len(there) > 1:
        remedy = f"pip uninstall {' '.join(name for name in OPENCV if found[name])}; then "
        detail += " overwrite each other's files"
        return Finding("WARN", "opencv", detail, remedy + OPENCV_REMEDY)
    try:
        import cv2  # noqa: F401
    except (ImportError, AttributeError) as error:  # AttributeError: built for another numpy
        detail += f"; cannot be imported: {error}"
        remedy = HEADLESS_REMEDY if "libGL" in str(error) else OPENCV_REMEDY
        return Finding("WARN", "opencv", detail, remedy)
    return Finding("OK", "opencv", detail)


def check_packages() -> Finding:
    """Newer versions need numpy 2, but may be installed beside numpy 1 in a shared environment."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of a wrong numpy; the import error reports it
        tried = {name: _import_fault(module) for name, module in BUILT_FOR_NUMPY.items()}
    faults = {name: fault for name, fault in tried.items() if fault}
    versions = {name: f"{name} {toolchain.installed(name)}" for name in BUILT_FOR_NUMPY}
    if faults:
        detail = ", ".join(
            f"{versions[name]} cannot be imported: {faults[name]}" for name in faults
        )
        remedy = f"pip install --force-reinstall 'numpy<2' {' '.join(faults)}"
        return Finding("FAIL", "packages", detail, remedy)
    return Finding("OK", "packages", ", ".join(versions.values()))


def _import_fault(module: str) -> str:
    """The error of the import; empty if it succeeds."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a package built for another numpy may raise anything
        return f"{type(error).__name__}: {error}"
    return ""


def check_compiler() -> Finding:
    try:
        compiler = toolchain.find_compiler()
        toolchain.require_working(compiler)
    except UserError as error:
        return Finding("FAIL", "g++", str(error))
    return Finding("OK", "g++", f"{toolchain.compiler_version(compiler)} at {compiler}")


def check_onednn() -> Finding:
    found = toolchain.find_onednn()
    if found is not None:
        return Finding("OK", "oneDNN", str(found.library))
    detail = "not found: convolutions will be about 100 times slower"
    if platform.machine() != "x86_64":
        return Finding("WARN", "oneDNN", detail, "there is no wheel for this processor")
    return Finding("WARN", "oneDNN", detail, toolchain.ONEDNN_REMEDY)


def check_cache() -> Finding:
    try:
        root = cache_root()
        toolchain.require_writable(root)
    except UserError as error:
        return Finding("FAIL", "cache", str(error), "export UNIDET_CACHE=/some/writable/folder")
    return Finding("OK", "cache", f"{root} is writable")


def check_space() -> Finding:
    """Free space of the compile cache and of the working folder, which has the store."""
    places = {"here": Path.cwd()}
    with suppress(UserError):  # reported by check_cache
        places = {"cache": cache_root(), **places}
    free = {name: shutil.disk_usage(_existing(path)).free for name, path in places.items()}
    detail = ", ".join(f"{name} {size / _GIBIBYTE:.1f} GiB free" for name, size in free.items())
    if min(free.values()) < _SPACE_NEEDED:
        return Finding("WARN", "disk", detail, "a toy study needs about 2 GiB")
    return Finding("OK", "disk", detail)


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())


def check_cuda() -> Finding:
    """A missing GPU is no fault, because everything runs on the CPU. A GPU is tested."""
    from unidet.backend.runtime import try_cuda

    try:
        cuda = try_cuda(again=True)
    except NoCuda as problem:
        state: Literal["OK", "WARN"] = "OK" if isinstance(problem, NoGpu) else "WARN"
        detail = "; ".join([f"not used: {problem}", *_parts_of_cuda()])
        return Finding(state, "cuda", detail)
    except UserError as problem:
        return Finding("FAIL", "cuda", str(problem))
    compiled = ", ".join(sorted(cuda.toolkit.libraries))
    detail = f"{cuda.driver.summary}, {cuda.toolkit.summary}; core and {compiled} work, "
    return Finding("OK", "cuda", detail + "convolution, its gradients, product and sort right")


def _parts_of_cuda() -> list[str]:
    """Summaries of the driver and the toolkit, if found."""
    parts = []
    for part in (find_driver, find_toolkit):
        with suppress(NoCuda):
            parts.append(part().summary)
    return parts


def check_jittor() -> Finding:
    """Imports Jittor and compares a convolution and other results with numpy's."""
    from unidet.backend.runtime import bring_up
    from unidet.backend.trial import errors

    try:
        runtime = bring_up()
        error = max(errors().values())
    except UserError as problem:
        return Finding("FAIL", "jittor", str(problem))
    except Exception as problem:  # a broken build may raise anything; it is shown
        return Finding("FAIL", "jittor", f"{type(problem).__name__}: {str(problem)[:300]}")
    version = runtime.versions["jittor"]
    if error > 1e-4:
        detail = f"{version}: a result is wrong by {error:.2g}"
        return Finding("FAIL", "jittor", detail, f"delete {runtime.cache} and try again")
    detail = f"{version} on {runtime.device}, {runtime.threads} threads, convolution right"
    return Finding("OK", "jittor", f"{detail}, up in {runtime.seconds:.1f} s")


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python,
    check_numpy,
    check_opencv,
    check_packages,
    check_compiler,
    check_onednn,
    check_cache,
    check_space,
    check_cuda,
    check_jittor,
)
