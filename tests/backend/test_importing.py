"""The processes that compile Jittor, and the signals that meet them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from unidet.backend import core_record, core_sources
from unidet.backend.importing import import_jittor, reason_of
from unidet.errors import UserError

COMPILING = """
import multiprocessing, os, signal, time
from unidet.backend.importing import _mortal
requested = []
signal.signal(signal.SIGTERM, lambda *_: requested.append(True))
def compile(part):
    time.sleep(0.3)
    return part
with multiprocessing.get_context("fork").Pool(2, initializer=_mortal(lambda: None)) as pool:
    parts = pool.imap_unordered(compile, range(6))
    done = [next(parts)]
    os.killpg(0, signal.SIGTERM)
    assert sorted([*done, *parts]) == [*range(6)]
assert requested
"""


def test_a_signal_to_the_whole_group_ends_no_compiler_amid_its_work() -> None:
    subprocess.run(
        [sys.executable, "-c", COMPILING], check=True, start_new_session=True, timeout=60
    )


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "\x1b[38;5;1m[f 1127 16:36:13.159190 80 log.cc:605] Check failed: ret>=0 && ret<=256  "
            'Run cmd failed: "/usr/bin/g++" "/x/jittor/src/op_compiler.cc" -c -o "x.o"\nreturn 9',
            "the compiler failed at op_compiler.cc: its message is above; if there is none, it was "
            "stopped, by a signal or for lack of memory or disk, and the same command goes on",
        ),
        (
            "\x1b[38;5;1m[f 1127 16:36:13.159190 80 cache_compile.cc:9] no such header\x1b[m\nmore",
            "no such header",
        ),
        ("\n\n", "RuntimeError"),
    ],
)
def test_what_jittor_says_in_a_line(said: str, told: str) -> None:
    assert reason_of(RuntimeError(said)) == told


def test_jittors_own_exit_does_not_end_the_command_as_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a cache that was moved, Jittor builds a part anew and ends the process: status 0."""
    (tmp_path / "jittor.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jittor", raising=False)
    utils = SimpleNamespace(cache_path=tmp_path, pool_initializer=None, import_scope=None)
    monkeypatch.setitem(sys.modules, "jittor_utils", utils)
    monkeypatch.setattr(core_sources, "mend", lambda *_: {})
    monkeypatch.setattr(core_record, "remembered", lambda *_: nullcontext("state"))
    with pytest.raises(UserError, match=f"built the files of {tmp_path} anew.*again$"):
        import_jittor(tmp_path, tmp_path, {}, tmp_path, verbose=True)
