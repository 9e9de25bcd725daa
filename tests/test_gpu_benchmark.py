"""benchmarks/gpu.py with short parts: one that fails or hangs does not affect the others."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SAVES_AT_THE_END = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("saved").touch(), sys.exit(75)))
time.sleep(60)
"""
WAITS_FOR_THE_FIRST = """
import pathlib, time
while not pathlib.Path("first").exists(): time.sleep(0.01)
"""
FIGURES = {"forward": {"seconds": 0.047, "mebibytes": 512}}


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    monkeypatch.setattr(gpu, "SHORTEST", 1)
    return gpu


def test_parts_that_fail_hang_and_run_in_parallel(gpu: ModuleType, tmp_path: Path) -> None:
    def part(name: str, code: str, limit: float = 60) -> object:
        return gpu.Part(name, limit, (sys.executable, "-S", "-c", code))

    speed = f"open('speed-float32.json', 'w').write({json.dumps(FIGURES)!r})"
    planned = gpu.Parts(
        first=[part("doctor", "open('first', 'w'); print('all is well')")],
        references=[part("cases-cpu", WAITS_FOR_THE_FIRST)],
        parity=[
            part("cases", "raise ValueError('no such operation')"),
            part("first", "import time; print(1); time.sleep(60)", limit=1),
        ],
        timed=[part("speed-float32", speed)],
        last=[part("study-float32", SAVES_AT_THE_END, limit=4)],
    )
    gpu.Run(tmp_path, "cuda", 300).run_all(planned)
    found = json.loads((tmp_path / "report.json").read_text())
    outcomes = {name: part["outcome"] for name, part in found["parts"].items()}
    assert outcomes == {
        "doctor": "done",
        "cases": "status 1: ValueError: no such operation",
        "first": "not finished in 1 s",
        "cases-cpu": "done",
        "speed-float32": "done",
        "study-float32": "not finished in 4 s",
    }
    assert (tmp_path / "saved").exists()
    assert found["doctor"] == ["all is well"]
    assert found["speed"] == {"speed-float32": FIGURES}
    table = (tmp_path / "table.md").read_text()
    assert "| ms (MiB) | unidet, float32 |" in table
    assert "| forward | 47 (512) |" in table
    again = gpu.Run(tmp_path, "cuda", 300)
    again.run_parts([part("doctor", "raise SystemExit(1)"), part("cases", "")])
    assert [again.outcomes[name]["outcome"] for name in ("doctor", "cases")] == ["done", "done"]
    gpu.Run(tmp_path, "cuda", 0).run_parts([part("late", "")])
    assert json.loads((tmp_path / "parts.json").read_text())["late"]["outcome"] == "no time left"


def test_differences_are_listed_by_precision(gpu: ModuleType, tmp_path: Path) -> None:
    """Differences in 16 bits, a thousand times as large, do not hide the others."""
    names = [*"abcd", "a, bfloat16: result", "a, float16: result"]
    shifts = (1e-6, 2e-6, 3e-6, 4e-6, 4e-3, 5e-4)
    expected = {name: np.ones(3, np.float32) for name in names}
    np.savez(tmp_path / "cases-cpu.npz", **expected)
    found = {name: expected[name] + shift for name, shift in zip(names, shifts, strict=True)}
    np.savez(tmp_path / "cases.npz", **found)
    table = gpu.Run(tmp_path, "cpu", 0).report()
    lines = [line.split(" | ")[0] for line in table.splitlines() if line.startswith("| cases: ")]
    assert lines == [f"| cases: {name}" for name in ("d", "c", "b", *names[4:])]
