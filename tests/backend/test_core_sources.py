"""Mended sources of Jittor's core."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from unidet.backend import toolchain
from unidet.backend.core_sources import mend

# As Jittor's own threads, in a process that ends before one of them has begun.
THREADS = """
#include <condition_variable>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <thread>
typedef std::string string;
static string S(int i) { return std::to_string(i); }
static string& get_thread_name() { static thread_local string name; return name; }
#define LOGe std::cerr
CLASS
int main() {
    for (int i = 0; i < 1000; i++) SimpleThread thread(i);  // told to end before it begins, often
    std::cout << "ended";
}
"""


def test_a_thread_that_begins_late_ends(jittor: Path, tmp_path: Path) -> None:
    source = jittor / "src" / "parallel_compiler.cc"
    text = mend(jittor, tmp_path)[source].read_text()
    start, end = text.index("struct SimpleThread {"), text.index("struct SimpleThreads;")
    program = tmp_path / "threads.cc"
    program.write_text(THREADS.replace("CLASS", text[start:end]))
    command = [toolchain.find_compiler(), "-pthread", program, "-o", tmp_path / "threads"]
    subprocess.run(command, check=True)
    done = subprocess.run([tmp_path / "threads"], capture_output=True, text=True, timeout=30)
    assert done.stdout == "ended"


def test_other_sources_are_refused(jittor: Path, tmp_path: Path) -> None:
    other = tmp_path / "jittor" / "src" / "parallel_compiler.cc"
    other.parent.mkdir(parents=True)
    text = (jittor / "src" / "parallel_compiler.cc").read_text()
    other.write_text(text.replace("cv.wait(lck);", "cv.wait(lck, go);"))
    with pytest.raises(
        RuntimeError, match=r"parallel_compiler.cc has not one .*: not of Jittor 1.3.11"
    ):
        mend(tmp_path / "jittor", tmp_path / "mended")
