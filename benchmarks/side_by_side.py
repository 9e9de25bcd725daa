"""Runs programs that do the same work alternately, each run in its own process."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: argument on the command line that selects the row.
        title: description in the table.
        programs: unidet, then the program that it is compared with, if any.
        work: (program, folder) -> the timed function, with all preparation done. `folder` is kept
            between runs, for files that are made once.
        goal, memory_goal: largest accepted ratio of times and of peak memory; None for no goal.
        quick: whether `--quick` measures the row.
        warm_up: calls before the timed one, in the same process.
    """

    name: str
    title: str
    programs: tuple[str, ...]
    work: Callable[[str, Path], Callable[[], Any]]
    _: KW_ONLY
    goal: float | None = None
    memory_goal: float | None = None
    quick: bool = False
    warm_up: int = 0


@dataclass(frozen=True)
class Measured:
    """Runs of one program: `seconds` (wall-clock), `cpu` seconds and peak `mib` of each."""

    runs: tuple[dict[str, float], ...]

    def median(self, figure: str) -> float:
        return median(run[figure] for run in self.runs)

    def spread(self) -> float:
        """(Slowest - fastest run) / median."""
        seconds = [run["seconds"] for run in self.runs]
        return (max(seconds) - min(seconds)) / self.median("seconds")


def figures(work: Callable[[], Any], warm_up: int) -> dict[str, float]:
    """Measure one call of `work`; peak memory is that of the whole process so far."""
    for _ in range(warm_up):
        work()
    started, used = time.perf_counter(), _processor_seconds()
    work()
    return {
        "seconds": time.perf_counter() - started,
        "cpu": _processor_seconds() - used,
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def in_turns(
    programs: Sequence[str], command: Callable[[str], list[str]], rounds: int
) -> dict[str, Measured]:
    """Run all programs once per round, in processes that print `figures` as their last line.

    Raises:
        RuntimeError: a process failed; the message ends with its stderr.
    """
    runs: dict[str, list[dict[str, float]]] = {program: [] for program in programs}
    for _ in range(rounds):
        for program in programs:
            done = subprocess.run(command(program), capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command(program))}\n{done.stderr[-2000:]}")
            runs[program].append(json.loads(done.stdout.splitlines()[-1]))
    return {program: Measured(tuple(found)) for program, found in runs.items()}


def other_load() -> float:
    """CPU cores used by other processes: the mean over half a second of sleep."""
    busy, whole = _busy_ticks(), time.perf_counter()
    time.sleep(0.5)
    ticks = os.sysconf("SC_CLK_TCK")
    return (_busy_ticks() - busy) / ticks / (time.perf_counter() - whole)


def _busy_ticks() -> int:
    user, nice, system, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
    return user + nice + system


def _processor_seconds() -> float:
    own, children = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
