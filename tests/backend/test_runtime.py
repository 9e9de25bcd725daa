"""Bring-up: what it finds, what it refuses, and that it leaves the process as it was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import pytest

from unidet.backend import build as jittor_build
from unidet.backend import doctor, importing, runtime, toolchain, trial
from unidet.backend.doctor import Finding
from unidet.config.places import cache_root
from unidet.errors import UserError

SCRIPT = """
import os, signal, ssl, sys, time

asked = []
signal.signal(signal.SIGINT, lambda *_: asked.append(1))
sys.addaudithook(lambda event, about: "import" == event and about[0] == "jittor.compile_extern"
                 and signal.raise_signal(signal.SIGINT))  # its core is loaded by then
before = dict(os.environ), signal.getsignal(signal.SIGINT), ssl._create_default_https_context
recursion_limit = sys.getrecursionlimit()
from unidet.backend.runtime import bring_up
brought = bring_up("cpu", threads=1)
import jittor as jt
changed = {k for k in {*before[0], *os.environ} if before[0].get(k) != os.environ.get(k)}
assert not changed, changed
assert signal.getsignal(signal.SIGINT) is before[1] and asked == [1]
signal.signal(signal.SIGINT, signal.default_int_handler)
assert ssl._create_default_https_context is before[2]
assert sys.getrecursionlimit() == recursion_limit
assert brought.threads == 1 and brought.device == "cpu"
import jittor_utils
jittor_utils.cc.log("compiler.py:1", "e", 0, "chatter that log_silent lets through")
import numpy as np
(jt.array([1.0, 2.0]) * 3).numpy()  # this kernel is -Ofast: denormals are zero from here on
np.finfo(np.float32), np.finfo(np.float64)  # says nothing
value = time.time()  # a constant never seen before: a kernel has to be compiled
assert (jt.array([1.0, 2.0]) * value).shape == [2]
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_second_call_returns_what_the_first_decided() -> None:
    first = runtime.bring_up()
    assert runtime.bring_up() is first
    assert runtime.bring_up(first.device) is first
    assert first.threads >= 1
    assert first.versions["numpy"].startswith("1.")
    assert first.versions["jittor"].startswith("1.3.11")
    other = "cuda" if first.device == "cpu" else "cpu"
    with pytest.raises(UserError, match=f"already runs on {first.device}"):
        runtime.bring_up(other)


def test_the_process_and_the_home_folder_stay_as_they_were(tmp_path: Path) -> None:
    """Ctrl-C still raises KeyboardInterrupt; the user's own Jittor is not touched; nobody talks."""
    settings = tmp_path / ".cache" / "jittor" / "config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"JITTOR_HOME": str(tmp_path / "theirs")}))
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "UNIDET_CACHE": str(cache_root()),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    runtime.bring_up()  # warms the cache
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted\n", "")
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*"))
    assert left == [".cache", ".cache/jittor", ".cache/jittor/config.json"]
    assert json.loads(settings.read_text()) == {"JITTOR_HOME": str(tmp_path / "theirs")}


def test_jittors_strings_are_no_warning_of_ours(tmp_path: Path) -> None:
    """Compiled at their first import, some of its files have escapes that Python warns of."""
    runtime.bring_up()  # warms the cache
    code = "from unidet.backend.runtime import bring_up; bring_up('cpu')"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-W", "error", "-X", f"pycache_prefix={tmp_path}", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_jittor_is_compiled_beside_other_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun ends with the block, compilers included."""
    runtime.bring_up()  # warms the cache
    with runtime.compiling_ahead() as process:
        assert process is None
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path))
    with runtime.compiling_ahead() as process:
        assert process is not None
        while not any(tmp_path.glob("jittor-*/build/core.h")):  # about to start the compiler
            assert process.poll() is None
            time.sleep(0.05)
    assert process.returncode == -signal.SIGTERM
    time.sleep(0.5)  # the compiler would need longer
    assert _running(process.pid) == []


def test_bring_up_waits_for_compilers_before_it_looks_for_free_cores() -> None:
    runtime.bring_up()  # warms the cache
    code = """
import subprocess
from unidet.backend import runtime
from unidet.backend import toolchain
def look(threads):
    print(runtime._ahead.poll())
    return True
toolchain.cores_are_free = look
runtime._ahead = subprocess.Popen(["sleep", "1"])
runtime.bring_up("cpu", threads=2)
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "0\n"
    assert done.stderr.startswith("compiling Jittor")


def test_without_a_compiler_nothing_is_compiled_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("cc_path", raising=False)
    with runtime.compiling_ahead() as process:
        assert process is None


def _running(group: int) -> list[Path]:
    """The processes of a group that have not ended (proc(5))."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(path)
    return found


def test_kernels_get_a_precompiled_header() -> None:
    if runtime.bring_up().device == "cuda":
        pytest.skip("on CUDA Jittor's own flags are kept")
    import jittor as jt

    assert "-Ofast" in jt.flags.cc_flags
    (header,) = (word for word in jt.flags.cc_flags.split('"') if word.endswith("kernel.h"))
    assert Path(f"{header}.gch").stat().st_size > 1_000_000
    assert Path(header).with_name("core.h.gch").stat().st_size > 1_000_000


def test_a_kernel_is_compiled_once_whatever_pass_marked_it(tmp_path: Path) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(jittor_build.LAUNCHER)
    source = tmp_path / "a kernel.cc"
    source.write_text("//@begin replace\n")
    words = ["asm_tuner.py", "--cc_path=/bin/echo", str(source), "-o", "x y"]

    def compiler_says() -> str:
        command = ["/bin/sh", str(launcher), *words]
        path = {"PATH": str(tmp_path)}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=path).stdout

    assert compiler_says() == f"{source} -o x y\n"
    linker = tmp_path / "ld.gold"
    linker.touch(0o755)
    assert compiler_says() == f"-fuse-ld=gold {source} -o x y\n"


def test_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("UNIDET_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_root() == tmp_path / ".cache" / "unidet"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert cache_root() == tmp_path / "x" / "unidet"
    monkeypatch.setenv("UNIDET_CACHE", "~/own")
    assert cache_root() == tmp_path / "own"


def test_a_user_without_a_home_is_told_what_to_set(
    homeless: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor.check_cache().state == "FAIL"
    assert doctor.check_space().state in ("OK", "WARN")
    with pytest.raises(UserError, match=r"^HOME is not set .*; set UNIDET_CACHE to a folder"):
        cache_root()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "unidet"
    monkeypatch.setenv("UNIDET_CACHE", "~/own")
    with pytest.raises(UserError, match=r"^HOME is not set"):
        cache_root()


def test_an_unwritable_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/cache cannot be written.*UNIDET_CACHE"):
        toolchain.require_writable(tmp_path / "file" / "cache")


@pytest.mark.parametrize(("version", "fine"), [("1.26.4", True), ("2.0.0", False)])
def test_numpy_2_is_refused(version: str, fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: version)
    if fine:
        assert toolchain.require_numpy_1() == version
    else:
        with pytest.raises(UserError, match=r"numpy 2\.0\.0.*pip install 'numpy<2'"):
            toolchain.require_numpy_1()


def test_no_compiler_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("cc_path", raising=False)
    with pytest.raises(UserError, match=r"apt install g\+\+"):
        toolchain.find_compiler()
    monkeypatch.setenv("cc_path", "/no/such/g++")
    with pytest.raises(UserError, match=r"/no/such/g\+\+ was not found"):
        toolchain.find_compiler()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('exec g++ -nostdinc++ "$@"', "fatal error: algorithm: No such file or directory"),
        ('exec g++ -B/nowhere -fuse-ld=none "$@"', "error: unrecognized command-line option"),
        ("echo it broke >&2; exit 3", r"\(it broke\)"),
        ("exit 3", r"\(exit status 3\)"),
    ],
)
def test_a_compiler_that_compiles_nothing_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    toolchain.require_working(toolchain.find_compiler())
    broken = tmp_path / "g++"
    broken.write_text(f"#!/bin/sh\n{script.replace('g++', str(toolchain.find_compiler()))}\n")
    broken.chmod(0o755)
    monkeypatch.setenv("cc_path", str(broken))
    with pytest.raises(UserError, match=says) as refused:
        toolchain.require_working(broken)
    assert "apt install g++" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert doctor.check_compiler().detail == str(refused.value)


def test_a_compiler_that_compiles_nothing_is_tried_before_jittor_is(tmp_path: Path) -> None:
    broken = tmp_path / "g++"
    broken.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo 12.2\nexit 1\n')
    broken.chmod(0o755)
    code = "from unidet.backend.runtime import bring_up; bring_up('cpu')"
    environment = {**os.environ, "cc_path": str(broken), "UNIDET_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "compiling Jittor" not in done.stderr
    assert f"UserError: {broken} compiles no C++14 (exit status 1)" in done.stderr


def test_missing_python_headers_name_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (toolchain.find_python_headers() / "Python.h").is_file()
    monkeypatch.setattr(toolchain.sysconfig, "get_path", lambda *_, **__: str(tmp_path))
    with pytest.raises(UserError, match=r"apt install python3\.\d+-dev"):
        toolchain.find_python_headers()


def install(site: Path, distribution: str, files: list[str]) -> metadata.Distribution:
    folder = site / f"{distribution}-2022.2.1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Name: {distribution}\nVersion: 2022.2.1\n")
    (folder / "RECORD").write_text("".join(f"{name},,\n" for name in files))
    for name in files:
        path = (site / name).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return metadata.PathDistribution(folder)


@pytest.mark.parametrize("up", ["../../../", "../../", ""])
def test_onednn_wherever_pip_put_it(
    up: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three up in a virtual environment or the user site, two up in a home scheme, or beside."""
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    library, header = f"{up}lib/libdnnl.so.2", f"{up}include/dnnl.hpp"
    nested = f"{up}include/oneapi/dnnl/dnnl.hpp"
    known = {
        "onednn-cpu-gomp": install(site, "onednn_cpu_gomp", [library]),
        "onednn-devel-cpu-gomp": install(site, "onednn_devel_cpu_gomp", [nested, header]),
    }
    monkeypatch.setattr(metadata, "distribution", known.__getitem__)
    found = toolchain.find_onednn()
    assert found is not None
    assert found.library == (site / library).resolve()
    assert found.include == (site / header).resolve().parent


def test_without_onednn_it_runs_and_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", absent)
    assert toolchain.find_onednn() is None
    environment = importing.environment(Path("g++"), None, 1, False)
    assert environment["use_mkl"] == "0"
    (warning,) = runtime._warn(None, "")
    assert "pip install 'onednn-cpu-gomp==2022.2.*'" in warning
    assert warning in capsys.readouterr().err
    assert doctor.check_onednn().state == "WARN"


@pytest.mark.parametrize(("given", "expected"), [("3", 3), ("2,4", 2), ("", None), ("0", None)])
def test_threads(given: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert toolchain.default_threads() == (expected or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(("threads", "environment"), [("100000", "2"), ("0", "100000")])
def test_more_threads_than_any_machine_has_cores_are_one_line(
    threads: str, environment: str
) -> None:
    """OpenMP, which cannot start them, aborts."""
    code = f"from unidet.backend import runtime\nruntime.bring_up('cpu', threads={threads})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": environment},
        capture_output=True,
        text=True,
    )
    assert "UserError: 100000 threads are more than 1024; set runtime.threads" in done.stderr


@pytest.mark.parametrize(
    ("load", "threads", "free"),
    [
        ("0.50 0.40 0.30 1/80 11", 4, True),  # nothing else runs on the four cores
        ("0.50 0.40 0.30 2/80 11", 4, False),
        ("0.50 0.40 0.30 3/80 11", 2, True),
        ("0.50 0.40 0.30 4/80 11", 2, False),
        ("", 2, False),
        (None, 1, False),
    ],
)
def test_free_cores(
    load: str | None, threads: int, free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if load is not None:
        (tmp_path / "loadavg").write_text(load)
    monkeypatch.setattr(toolchain, "LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert toolchain.cores_are_free(threads, pause=0) is free


@pytest.mark.parametrize(
    ("running", "name", "chosen", "spins"),
    [
        (1, "", "", True),
        (9999, "", "", False),
        (9999, "OMP_WAIT_POLICY", "active", True),
        (9999, "GOMP_SPINCOUNT", "77", True),
        (1, "OMP_WAIT_POLICY", "passive", False),
    ],
)
def test_waiting_threads_sleep_at_once_where_others_want_the_cores(
    running: int,
    name: str,
    chosen: str,
    spins: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("OMP_DISPLAY_ENV", "verbose")  # OpenMP says what it makes of its variables
    if name:
        monkeypatch.setenv(name, chosen)
    load = tmp_path / "loadavg"
    load.write_text(f"0.0 0.0 0.0 {running}/9999 1")
    code = f"""
import os
from pathlib import Path
from unidet.backend import runtime
from unidet.backend import toolchain
toolchain.LOAD, os.cpu_count = Path({str(load)!r}), lambda: 2
runtime.bring_up("cpu", threads=2)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (count,) = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)
    assert (int(count) > 0) is spins


def test_doctor_fits_a_terminal_and_fails_on_a_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "/a/folder" * 30 + " and words" * 20
    well, ill = Finding("OK", "python", long), Finding("FAIL", "cache", long, long)
    monkeypatch.setattr(doctor, "CHECKS", (lambda: well, lambda: Finding("WARN", "x", "y")))
    assert doctor.run() == 0
    monkeypatch.setattr(doctor, "CHECKS", (lambda: well, lambda: ill))
    assert doctor.run() == 1
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed)) <= 80
    assert printed[-1] == "1 faults, 0 warnings"


def test_doctor_on_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run() == 0
    printed = capsys.readouterr().out
    assert "convolution right" in printed
    assert [line.split()[1] for line in printed.splitlines() if line[:4] in ("OK  ", "WARN")] == [
        "python",
        "numpy",
        "opencv",
        "packages",
        "g++",
        "oneDNN",
        "cache",
        "disk",
        "cuda",
        "jittor",
    ]


def test_doctor_reports_a_fault_of_every_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("cc_path", raising=False)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNIDET_CACHE", str(tmp_path / "file" / "x"))
    assert doctor.check_compiler().state == "FAIL"
    assert doctor.check_cache().state == "FAIL"
    monkeypatch.setattr(trial, "errors", lambda: {"convolution": 1.0})
    assert doctor.check_jittor().state == "FAIL"
    monkeypatch.setattr(metadata, "version", lambda _: "2.1.0")
    assert doctor.check_numpy().state == "FAIL"


def test_doctor_tells_what_is_wrong_with_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"opencv-python": "4.11.0", "opencv-python-headless": "4.13.0"}
    monkeypatch.setattr(toolchain, "installed", versions.get)
    several = doctor.check_opencv()
    assert (several.state, "overwrite" in several.detail) == ("WARN", True)
    assert "pip uninstall opencv-python opencv-python-headless" in several.remedy
    del versions["opencv-python-headless"]
    assert doctor.check_opencv().state == "OK"
    monkeypatch.setitem(sys.modules, "cv2", None)  # makes an import of it fail
    assert doctor.check_opencv().remedy.startswith("pip install 'opencv-python<4.12'")
    versions.clear()
    assert doctor.check_opencv().detail.startswith("not installed")


def test_doctor_names_packages_built_for_another_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert doctor.check_packages().state == "OK"
    (tmp_path / "built_for_2.py").write_text("import numpy; numpy.no_such_type")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(doctor.BUILT_FOR_NUMPY, "scipy", "built_for_2")
    found = doctor.check_packages()
    assert found.state == "FAIL"
    assert "AttributeError: module 'numpy' has no attribute 'no_such_type'" in found.detail
    assert found.remedy == "pip install --force-reinstall 'numpy<2' scipy"


def test_headers_are_precompiled_below_a_folder_with_a_space(tmp_path: Path) -> None:
    header = tmp_path / "a folder" / "x.h"
    flags = ["-std=c++14", f"-I{tmp_path / 'b c'}"]
    jittor_build._precompile(header, "#include <cstddef>\n", flags, toolchain.find_compiler())
    assert header.with_name("x.h.gch").is_file()


FORKING = """
import multiprocessing, signal, time
from unidet.backend.importing import _mortal
signal.signal(signal.SIGTERM, lambda *_: None)
ready = multiprocessing.get_context("fork").Event()
def work():
    _mortal(ready.set)()
    time.sleep(60)
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
ready.wait()
process.terminate()
process.join(20)
assert process.exitcode == -signal.SIGTERM, process.exitcode
"""


def test_compiling_processes_end_whatever_this_process_does_about_sigterm() -> None:
    subprocess.run([sys.executable, "-c", FORKING], check=True)
