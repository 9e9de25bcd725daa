"""Kernels are written by one thread at a time, and those that are known are only loaded."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace

import pytest

from unidet.backend import kernels, runtime


def test_one_thread_writes_kernels_at_a_time() -> None:
    """Jittor compiles through our function, which holds a lock while it writes."""
    runtime.bring_up()
    core = ctypes.CDLL(sys.modules["jittor_core"].__file__)
    hook = ctypes.c_void_p.in_dll(core, "_ZN6jittor15do_compile_hookE")
    assert hook.value is not None


def test_without_the_lock_only_one_thread_compiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime.bring_up()
    import jittor as jt

    flags = SimpleNamespace(cc_flags="", use_parallel_op_compiler=16)
    monkeypatch.setattr(jt, "flags", flags)
    kernels.manage("", tmp_path / "build", Path("/bin/false"))
    assert flags.use_parallel_op_compiler == 1


DOUBLE = """
import sys
from unidet.backend import runtime
runtime.bring_up("cpu")
import jittor as jt
source = "for (int i = 0; i < in0->num; i++) out0_p[i] = FACTOR * in0_p[i];"
source = source.replace("FACTOR", sys.argv[2])
one = jt.array([1.5, -2.0])
header = f"enum {{ n{sys.argv[1]} }};"
print(jt.code([2], "float32", [one], cpu_header=header, cpu_src=source).tolist())
"""


class Kernel:
    """One that no other process has, for it has a number in its source."""

    def __init__(self) -> None:
        runtime.bring_up("cpu")
        import jittor as jt

        self.name = uuid.uuid4().hex
        self.folder = Path(jt.flags.cache_path, "jit")

    def run(self, factor: str = "2") -> str:
        command = [sys.executable, "-c", DOUBLE, self.name, factor]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def files(self, suffix: str) -> list[Path]:
        found = (path for path in self.folder.glob(f"*{suffix}"))
        return [path for path in found if self.name.encode() in path.read_bytes()]


@pytest.fixture
def kernel() -> Kernel:
    if runtime.bring_up().device == "cuda":
        pytest.skip("on CUDA Jittor compares the sources itself")
    return Kernel()


def test_a_known_kernel_is_loaded_without_its_source(kernel: Kernel) -> None:
    assert kernel.run() == "[3.0, -4.0]"
    (source,), (_record,) = kernel.files(".cc"), kernel.files(".known")
    source.unlink()
    assert kernel.run() == "[3.0, -4.0]"
    assert not kernel.files(".cc")


@pytest.mark.parametrize("change", [b"other sources of Jittor ", b""])
def test_a_kernel_of_another_state_is_written_anew(kernel: Kernel, change: bytes) -> None:
    assert kernel.run() == "[3.0, -4.0]"
    (source,), (record,) = kernel.files(".cc"), kernel.files(".known")
    source.unlink()
    library, newline, wanted = record.read_bytes().partition(b"\n")
    record.write_bytes(library + newline + change + wanted if change else library[:5])
    assert kernel.run() == "[3.0, -4.0]"
    assert kernel.files(".cc") == [source]
    assert record.read_bytes() == library + newline + wanted


def test_a_library_that_is_lost_is_compiled_anew(kernel: Kernel) -> None:
    assert kernel.run() == "[3.0, -4.0]"
    (record,) = kernel.files(".known")
    Path(record.read_bytes().partition(b"\n")[0].decode()).unlink()
    assert kernel.run() == "[3.0, -4.0]"


def test_another_source_is_another_kernel(kernel: Kernel) -> None:
    assert (kernel.run(), kernel.run("3")) == ("[3.0, -4.0]", "[4.5, -6.0]")
    assert len(kernel.files(".known")) == 2


def test_a_convolution_made_of_other_operations_runs_again(tmp_path: Path) -> None:
    """What it needs to run, Jittor finds while it writes its source: it has no record."""
    code = """
from unidet.backend import runtime
runtime.bring_up("cpu")
import jittor as jt
image, weight = jt.ones([1, 3, 8, 8]), jt.ones([5, 3, 3, 3])
print(jt.nn.conv2d(image, weight).sum().item())
"""
    command = [sys.executable, "-c", code]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout == f"{5 * 6 * 6 * 27:.1f}\n"
