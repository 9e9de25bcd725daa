"""What Jittor asks at every start is asked once, and again when something has changed."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from unidet.backend.core_record import BINDINGS, remembered

GENERATOR = """
from pathlib import Path
def compile(cache_path, jittor_path):
    source = Path(cache_path) / "bindings.cc"
    with source.open("a") as file:
        file.write("generated\\n")
    return [str(source)]
"""


class Start:
    """A start of a Jittor whose core has one source and one command; what it has asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installed, self.cache = folder / "jittor", folder / "cache"
        (self.installed / "src").mkdir(parents=True)
        self.cache.mkdir()
        (self.installed / "src" / "op.cc").write_text("int one;")
        (self.installed / "pyjt_compiler.py").write_text(GENERATOR)
        self.ran: list[list[str]] = []
        self.utils = types.ModuleType("jittor_utils")
        self.utils.run_cmds = lambda commands, *_: self.ran.append(commands)  # type: ignore
        monkeypatch.setitem(sys.modules, "jittor_utils", self.utils)
        monkeypatch.setitem(sys.modules, BINDINGS, types.ModuleType(BINDINGS))

    def __call__(self, *commands: str, fails: bool = False) -> list[str]:
        with remembered(self.cache / "core.json", self.installed, {Path("a.cc"): Path("b/a.cc")}):
            sources = sys.modules[BINDINGS].compile(str(self.cache), str(self.installed))
            self.utils.run_cmds(list(commands), str(self.cache), str(self.installed), "core")
            if fails:
                raise ImportError
        return sources

    def generated(self) -> int:
        return (self.cache / "bindings.cc").read_text().count("generated")


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    return Start(tmp_path, monkeypatch)


def test_a_second_start_asks_nothing(start: Start) -> None:
    before = start.utils.run_cmds
    assert start("g++ op.cc") == start("g++ op.cc") == [str(start.cache / "bindings.cc")]
    assert start.ran == [["g++ op.cc"]]
    assert start.generated() == 1
    assert start.utils.run_cmds is before


def test_a_changed_source_of_jittor_asks_again(start: Start) -> None:
    start("g++ op.cc")
    source = start.installed / "src" / "op.cc"
    source.write_text("int two;")
    os.utime(source, ns=(0, 1))
    start("g++ op.cc")
    assert start.ran == [["g++ op.cc"]] * 2
    assert start.generated() == 2


def test_other_commands_overwrite_the_files_of_the_last(start: Start) -> None:
    for command in ("g++ -O1", "g++ -O2", "g++ -O1", "g++ -O1"):
        start(command)
    assert start.ran == [["g++ -O1"], ["g++ -O2"], ["g++ -O1"]]
    assert start.generated() == 1


def test_lost_bindings_are_generated_again(start: Start) -> None:
    start("g++ op.cc")
    (start.cache / "bindings.cc").unlink()
    start("g++ op.cc")
    assert start.generated() == 1


def test_a_start_that_failed_is_not_remembered(start: Start) -> None:
    with pytest.raises(ImportError):
        start("g++ op.cc", fails=True)
    start("g++ op.cc")
    assert start.ran == [["g++ op.cc"]] * 2


@pytest.mark.parametrize("content", ["", "[]", "{", '{"state": "other"}'])
def test_a_damaged_record_is_written_anew(content: str, start: Start) -> None:
    (start.cache / "core.json").write_text(content)
    start("g++ op.cc")
    start("g++ op.cc")
    assert start.ran == [["g++ op.cc"]]


def test_mended_sources_are_compiled_in_place_of_jittor_s_own(start: Start) -> None:
    start('g++ "a.cc" -o a.cc.o', 'g++ "aa.cc"')
    assert start.ran == [['g++ "b/a.cc" -o a.cc.o', 'g++ "aa.cc"']]
