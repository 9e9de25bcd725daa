"""What is said of a driver, its GPUs and the toolkits: with stand-ins for all three."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.backend import cuda_build, gpu, process_gpus, runtime, trial
from unidet.backend.gpu import Cuda, Driver, Gpu, NoCuda, NoGpu, Toolkit, find_cuda
from unidet.errors import UserError

NVCC = """#!/bin/sh
[ "$1" = --version ] && echo "Cuda compilation tools, release {version}, V{version}.1"
exit 0
"""


class Library:
    """Stands for libcuda.so.1 of CUDA 13.0."""

    def __init__(self, status: int = 0, devices: int = 1, capability: int = 90) -> None:
        self.status, self.devices, self.capability = status, devices, capability

    def cuInit(self, _: int) -> int:
        return self.status

    def cuDeviceGetCount(self, count: object) -> int:
        return _write(count, self.devices)

    def cuDriverGetVersion(self, version: object) -> int:
        return _write(version, 13000)

    def cuDeviceGetAttribute(self, value: object, attribute: int, _: int) -> int:
        major, minor = divmod(self.capability, 10)
        return _write(value, major if attribute == 75 else minor)

    def cuDeviceGetName(self, name: ctypes.Array[ctypes.c_char], _: int, __: int) -> int:
        name.value = b"A100"
        return 0


def _write(target: object, value: int) -> int:
    ctypes.cast(target, ctypes.POINTER(ctypes.c_int))[0] = value  # type: ignore[arg-type]
    return 0


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    gpu.find_toolkit.cache_clear()


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[Library], None]:
    return lambda library: monkeypatch.setattr(ctypes, "CDLL", lambda _: library)


@pytest.fixture
def toolkit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete toolkit of CUDA 13.0, its nvcc the only one anywhere."""
    folder = tmp_path / "cuda"
    write_compiler(folder, "13.0")
    for header in gpu.HEADERS:
        (folder / "include" / header).parent.mkdir(parents=True, exist_ok=True)
        (folder / "include" / header).write_text("")
    for header in ("cublas.h",):
        (folder / "include" / header).write_text("")
    (folder / "lib64").mkdir()
    for name, number in (("cudart", 13), ("cublas", 13), ("cublasLt", 13), ("curand", 10)):
        (folder / "lib64" / f"lib{name}.so.{number}").write_text("")
    (folder / "lib64" / "libcudnn.so.9").write_text("")
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(gpu, "SYSTEM_TOOLKITS", ())
    monkeypatch.setattr(gpu, "SYSTEM_FOLDERS", (tmp_path, tmp_path))
    monkeypatch.setattr(gpu, "_wheel_folders", list)
    return folder


def write_compiler(folder: Path, version: str) -> None:
    compiler = folder / "bin" / "nvcc"
    compiler.parent.mkdir(parents=True, exist_ok=True)
    compiler.write_text(NVCC.format(version=version))
    compiler.chmod(0o755)


def test_no_driver(toolkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(_: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    with pytest.raises(NoGpu, match=r"no NVIDIA driver \(libcuda"):
        find_cuda()
    with pytest.raises(UserError, match=r"device=cuda: no NVIDIA driver .*; or use device=cpu"):
        runtime._choose_device("cuda")
    assert runtime._choose_device("auto") == (
        None,
        "no NVIDIA driver (libcuda.so.1)",
        "",
    )


def test_of_several_processes_each_takes_its_own(
    toolkit: Path, driver: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(Library())
    monkeypatch.setenv(process_gpus.VISIBLE, "4,GPU-6f,7")
    monkeypatch.setenv(process_gpus.COUNT, "2")
    monkeypatch.setenv(process_gpus.RANK, "1")
    assert runtime._choose_device("auto", mpi=True)[0] is None
    cuda, _, _ = runtime._choose_device("cuda", mpi=True)
    assert cuda is not None
    assert os.environ[process_gpus.VISIBLE] == "GPU-6f"


@pytest.mark.parametrize("library", [Library(status=100), Library(devices=0)])
def test_a_driver_that_shows_no_gpu(library: Library, toolkit: Path, driver: Callable) -> None:
    driver(library)
    with pytest.raises(NoGpu):
        find_cuda()


def test_a_gpu_and_a_toolkit(toolkit: Path, driver: Callable) -> None:
    driver(Library(devices=2))
    found = find_cuda()
    assert found.driver == Driver((13, 0), (Gpu("A100", 90), Gpu("A100", 90)))
    assert found.capabilities == [90]
    assert found.toolkit.nvcc == toolkit / "bin" / "nvcc"
    assert found.toolkit.libraries["cudnn"] == toolkit / "lib64" / "libcudnn.so.9"


def test_no_toolkit(toolkit: Path, driver: Callable) -> None:
    driver(Library())
    (toolkit / "bin" / "nvcc").unlink()
    with pytest.raises(NoCuda, match=r"no CUDA toolkit \(nvcc\): pip install 'unidet\[cuda\]'"):
        find_cuda()


def test_what_a_toolkit_lacks(toolkit: Path, driver: Callable) -> None:
    driver(Library())
    (toolkit / "lib64" / "libcudnn.so.9").unlink()
    (toolkit / "include" / "curand.h").unlink()
    with pytest.raises(NoCuda, match=r"CUDA 13 toolkit of .* lacks libcudnn\.so, curand\.h; pip"):
        find_cuda()


def test_libraries_of_another_cuda_are_not_mixed_in(toolkit: Path, driver: Callable) -> None:
    driver(Library())
    (toolkit / "lib64" / "libcublas.so.13").rename(toolkit / "lib64" / "libcublas.so.12")
    with pytest.raises(NoCuda, match=r"lacks libcublas\.so"):
        find_cuda()


def test_a_driver_older_than_the_toolkit(toolkit: Path, driver: Callable) -> None:
    driver(Library())
    write_compiler(toolkit, "14.1")
    for library in (toolkit / "lib64").glob("*.so.13"):
        library.rename(library.with_suffix(".14"))
    with pytest.raises(NoCuda, match=r"driver runs CUDA up to 13\.0, .* CUDA 14: update the drive"):
        find_cuda()


def test_a_gpu_too_old_for_the_toolkit(toolkit: Path, driver: Callable) -> None:
    driver(Library(capability=70))
    with pytest.raises(NoCuda, match=r"CUDA 13 no longer builds for A100 \(compute capability 7"):
        find_cuda()


def test_a_gpu_that_fails_its_trial_is_not_used(
    toolkit: Path, driver: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Tried once; what it said is kept, and the processor takes over with one line."""
    driver(Library())
    trials = []

    def try_and_fail(log: Path) -> str:
        trials.append(log)
        return "exit status -6, terminate called"

    monkeypatch.setattr(trial, "_try", try_and_fail)
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        cuda, why, warning = runtime._choose_device("auto")
        assert cuda is None
        assert "exit status -6, terminate called" in why
        assert warning.startswith("the GPU is not used: Jittor does not work on A100 (sm_90)")
    assert len(trials) == 1
    with pytest.raises(NoCuda):
        runtime.try_cuda(again=True)
    assert len(trials) == 2


def test_the_last_line_of_a_trial_is_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false") or "/bin/false")
    assert trial._try(tmp_path / "log") == "exit status 1, nothing printed"


def test_the_toolkit_is_laid_out_as_jittor_looks_for_it(toolkit: Path, tmp_path: Path) -> None:
    found = gpu.find_toolkit()
    for _ in range(2):
        nvcc = cuda_build.lay_out(found, tmp_path / "laid out")
    lib64 = tmp_path / "laid out" / "lib64"
    assert {link.name for link in lib64.iterdir()} == {
        *("libcublas.so", "libcublasLt.so", "libcudart.so", "libcudnn.so", "libcurand.so")
    }
    assert (lib64 / "libcudart.so").resolve() == toolkit / "lib64" / "libcudart.so.13"
    assert (tmp_path / "laid out" / "include" / "cublas.h").is_file()
    shown = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout
    assert "release 13.0" in shown


def test_the_compiler_is_asked_for_a_newer_standard(tmp_path: Path) -> None:
    echo = tmp_path / "echo"
    echo.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    echo.chmod(0o755)
    toolkit = Toolkit(echo, (13, 0), "wheels", (), {"cudart": tmp_path / "libcudart.so.13"})
    nvcc = cuda_build.lay_out(toolkit, tmp_path / "laid out")
    words = ["a b.cc", "-std=c++14", "-w"]
    shown = subprocess.run([nvcc, *words], capture_output=True, text=True).stdout
    assert shown.splitlines() == ["a b.cc", "-std=c++17", "-w"]


def test_a_summary_names_gpus_and_toolkit() -> None:
    toolkit = Toolkit(Path("/x/bin/nvcc"), (13, 0), "wheels", (), {})
    cuda = Cuda(Driver((13, 0), (Gpu("H100", 90),)), toolkit)
    assert cuda.summary == "H100 (sm_90), CUDA 13.0 from wheels (/x/bin/nvcc)"
