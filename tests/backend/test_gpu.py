"""What is said of a driver, its GPUs and the toolkits: with stand-ins for all three."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unidet.backend import cuda_build, doctor, gpu, process_gpus, runtime, toolkits, trial
from unidet.backend.gpu import Cuda, Driver, Gpu, NoCuda, NoGpu, find_cuda
from unidet.backend.toolkits import Toolkit
from unidet.errors import UserError

NVCC = """#!/bin/sh
[ "$1" = --version ] && echo "Cuda compilation tools, release {version}, V{version}.1"
[ "$1" = --list-gpu-code ] && printf "%s\\n" {codes}
exit 0
"""


class Library:
    """Stands for libcuda.so.1 of CUDA 13.0."""

    def __init__(
        self, status: int = 0, devices: int = 1, capability: int = 90, opening: int = 0
    ) -> None:
        self.status, self.devices, self.capability = status, devices, capability
        self.opening = opening

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

    def cuDevicePrimaryCtxRetain(self, _: object, __: int) -> int:
        return self.opening

    def cuDevicePrimaryCtxRelease_v2(self, _: int) -> int:
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
    folder = make_toolkit(tmp_path / "cuda", 13)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(toolkits, "SYSTEM_TOOLKITS", ())
    monkeypatch.setattr(toolkits, "SYSTEM_FOLDERS", (tmp_path, tmp_path))
    monkeypatch.setattr(toolkits, "wheel_folders", list)
    return folder


def make_toolkit(folder: Path, major: int) -> Path:
    write_compiler(folder, f"{major}.0")
    for header in toolkits.HEADERS:
        (folder / "include" / header).parent.mkdir(parents=True, exist_ok=True)
        (folder / "include" / header).write_text("")
    (folder / "include" / "cublas.h").write_text("")
    (folder / "lib64").mkdir()
    for name, number in (("cudart", major), ("cublas", major), ("cublasLt", major), ("curand", 10)):
        (folder / "lib64" / f"lib{name}.so.{number}").write_text("")
    (folder / "lib64" / "libcudnn.so.9").write_text("")
    return folder


def write_compiler(folder: Path, version: str, codes: str = "sm_75 sm_80 sm_90") -> None:
    compiler = folder / "bin" / "nvcc"
    compiler.parent.mkdir(parents=True, exist_ok=True)
    compiler.write_text(NVCC.format(version=version, codes=codes))
    compiler.chmod(0o755)


def test_no_driver(toolkit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ordinary state of a machine without a GPU: nothing is said of it unless asked for."""

    def no_library(_: str) -> None:
        raise OSError("libcuda.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    with pytest.raises(UserError, match=r"device=cuda: no NVIDIA driver .*; or use device=cpu"):
        runtime._choose_device("cuda")
    cuda, why, warning = runtime._choose_device("auto")
    assert (cuda, warning) == (None, "")
    assert why.startswith("no NVIDIA driver (libcuda.so.1)")
    finding = doctor.check_cuda()
    assert finding.state == "OK"
    assert finding.detail.endswith(f"is seen; CUDA 13.0 from the system ({toolkit}/bin/nvcc)")


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


def no_compiler(folder: Path) -> None:
    (folder / "bin" / "nvcc").unlink()


def compiler_of_another_machine(folder: Path) -> None:
    (folder / "bin" / "nvcc").write_bytes(b"\x7fELF")


def compiler_that_fails(folder: Path) -> None:
    (folder / "bin" / "nvcc").write_text("#!/bin/sh\nexit 1\n")


def half_installed(folder: Path) -> None:
    (folder / "lib64" / "libcudnn.so.9").unlink()
    (folder / "include" / "crt" / "host_config.h").unlink()


def libraries_of_another_cuda(folder: Path) -> None:
    (folder / "lib64" / "libcublas.so.13").rename(folder / "lib64" / "libcublas.so.12")


def newer_than_the_driver(folder: Path) -> None:
    write_compiler(folder, "14.1")
    for library in (folder / "lib64").glob("*.so.13"):
        library.rename(library.with_suffix(".14"))


def complete(folder: Path) -> None:
    """Nothing is wrong with it."""


BROKEN: dict[str, tuple[Callable[[Path], None], Library, str]] = {
    "the driver does not start": (
        complete,
        Library(status=803),
        r"driver does not start \(cuInit returned 803\): nvidia-smi .*, restart the machine",
    ),
    "the GPU is full": (
        complete,
        Library(opening=2),
        r"cannot be opened \(its memory is full\): wait .* CUDA_VISIBLE_DEVICES",
    ),
    "no toolkit": (no_compiler, Library(), r"no CUDA toolkit \(nvcc\): pip install 'unidet\[cuda"),
    "no program": (compiler_of_another_machine, Library(), r"nvcc does not run; pip install"),
    "a compiler that fails": (compiler_that_fails, Library(), r"nvcc does not run; pip install"),
    "half installed": (
        half_installed,
        Library(),
        r"CUDA 13 toolkit of .* lacks libcudnn\.so, crt/host_config\.h; pip install",
    ),
    "mixed": (libraries_of_another_cuda, Library(), r"lacks libcublas\.so; pip install"),
    "an old driver": (
        newer_than_the_driver,
        Library(),
        r"driver runs CUDA up to 13\.0, .* is of CUDA 14: update the driver, or install",
    ),
    "an old GPU": (
        complete,
        Library(capability=70),
        r"CUDA 13\.0 does not build for A100 \(compute capability 7\.0\): hide it .* an older",
    ),
    "a new GPU": (complete, Library(capability=120), r"capability 12\.0\): .* a newer toolkit"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_work_leaves_the_processor_and_one_line(
    name: str, toolkit: Path, driver: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` goes on with a line that says why and what would help; `cuda` ends with it."""
    break_toolkit, library, expected = BROKEN[name]
    break_toolkit(toolkit)
    driver(library)
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trial, "_try", lambda log: pytest.fail("nothing to try"))
    cuda, why, warning = runtime._choose_device("auto")
    assert cuda is None
    assert re.search(expected, why)
    assert warning == f"the GPU is not used: {why}"
    assert "\n" not in warning
    with pytest.raises(UserError, match=expected):
        runtime._choose_device("cuda")
    finding = doctor.check_cuda()
    assert finding.state == "WARN"
    assert re.search(expected, finding.detail)


def test_the_first_toolkit_that_fits_the_driver(
    toolkit: Path, driver: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two, one too new for the driver, the other is taken, with its own libraries."""
    newer_than_the_driver(toolkit)
    other = make_toolkit(tmp_path / "other", 12)
    monkeypatch.setattr(toolkits, "SYSTEM_TOOLKITS", (other,))
    driver(Library())
    found = find_cuda().toolkit
    assert (found.nvcc, found.version) == (other / "bin" / "nvcc", (12, 0))
    assert {library.parent for library in found.libraries.values()} == {other / "lib64"}


def test_wheels_give_what_the_system_lacks_and_no_more(
    toolkit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUB and the runtime of another version beside the compiler's own do not compile."""
    wheels = make_toolkit(tmp_path / "nvidia" / "cu13", 13)
    other = make_toolkit(tmp_path / "nvidia" / "cu14", 14)
    for name in ("cublas.h", "cublas_v2.h", "cudnn.h"):
        (toolkit / "include" / name).unlink()
    (toolkit / "lib64" / "libcublas.so.13").unlink()
    monkeypatch.setattr(toolkits, "wheel_folders", lambda: [other, wheels])
    found = gpu.find_toolkit()
    assert found.libraries["cublas"] == wheels / "lib64" / "libcublas.so.13"
    assert found.libraries["cudart"] == toolkit / "lib64" / "libcudart.so.13"
    include = cuda_build.lay_out(found, tmp_path / "laid out").parents[1] / "include"
    linked = {link.name: link.resolve() for link in include.iterdir() if link.is_symlink()}
    assert linked == {
        "cublas.h": wheels / "include" / "cublas.h",
        "cublas_v2.h": wheels / "include" / "cublas_v2.h",
        "cudnn.h": wheels / "include" / "cudnn.h",
        "curand.h": toolkit / "include" / "curand.h",
    }
    assert str(wheels) not in cuda_build.core_flags(found, tmp_path / "laid out")
    (toolkit / "include" / "cub" / "cub.cuh").unlink()
    gpu.find_toolkit.cache_clear()
    assert gpu.find_toolkit().nvcc == other / "bin" / "nvcc"  # half of CUB is mended by no wheel


@pytest.mark.parametrize(
    ("wheels", "expected"),
    [
        (["cu13"], ""),
        (["cu12"], "CUDA 13 needs nvidia-cudnn-cu13, and nvidia-cudnn-cu12 is installed"),
        (["cu12", "cu13"], "nvidia-cudnn-cu12 and nvidia-cudnn-cu13 overwrite each other's files"),
    ],
)
def test_cudnn_of_another_cuda(
    wheels: list[str],
    expected: str,
    toolkit: Path,
    driver: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of cuDNN's wheels write to one folder."""
    folder = tmp_path / "nvidia" / "cudnn"
    (folder / "lib").mkdir(parents=True)
    (toolkit / "lib64" / "libcudnn.so.9").rename(folder / "lib" / "libcudnn.so.9")
    monkeypatch.setattr(toolkits, "wheel_folders", lambda: [folder])
    names = [f"nvidia-cudnn-{wheel}" for wheel in wheels]
    monkeypatch.setattr(toolkits, "installed", lambda name: "9.1" if name in names else None)
    driver(Library())
    if not expected:
        assert find_cuda().toolkit.libraries["cudnn"] == folder / "lib" / "libcudnn.so.9"
        return
    with pytest.raises(NoCuda, match=expected):
        find_cuda()


def test_doctor_names_driver_card_toolkit_and_what_was_tried(
    toolkit: Path, driver: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(Library())
    monkeypatch.setattr(trial, "_try", lambda log: "")
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "cache"))
    finding = doctor.check_cuda()
    assert finding.state == "OK"
    assert finding.detail == (
        f"A100 (sm_90), driver for CUDA 13.0, CUDA 13.0 from the system ({toolkit}/bin/nvcc); core "
        "and cublas, cublasLt, cudart, cudnn, curand work, convolution, its gradients, product and "
        "sort right"
    )


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


def test_a_trial_that_was_stopped_is_not_kept(
    toolkit: Path, driver: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C ends it as well; no later run would have used the GPU."""
    driver(Library())
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    monkeypatch.setattr(trial, "python_command", lambda code: [sys.executable, "-c", stop])
    with pytest.raises(NoCuda, match="was stopped; the next command tries again"):
        trial.require_success(find_cuda(), tmp_path)
    assert not (tmp_path / "trial.json").exists()


def test_a_trial_is_made_again_where_its_record_is_damaged(
    toolkit: Path, driver: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driver(Library())
    monkeypatch.setattr(trial, "_try", lambda log: "")
    for content in ("", "[]", '{"tried": 1}'):
        (tmp_path / "trial.json").write_text(content)
        trial.require_success(find_cuda(), tmp_path)
    with pytest.raises(NoCuda, match=r"cannot be written \(.*\); .*: set UNIDET_CACHE"):
        trial.require_success(find_cuda(), tmp_path / "trial.json" / "folder")


def test_a_trial_says_why_it_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false") or "/bin/false")
    log = tmp_path / "log"
    assert trial._try(log) == "exit status 1, nothing printed"
    log.write_text(
        "compiling\n x.cu(3): error: no member\nTraceback\nRuntimeError: Compile failed\n"
    )
    assert trial._reason(log) == "x.cu(3): error: no member"
    log.write_text("started\nterminate called without an active exception\n")
    assert trial._reason(log) == "terminate called without an active exception"


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
