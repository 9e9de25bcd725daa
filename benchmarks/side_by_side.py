"""Programs that do the same work in turns, each run in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: as given on the command line.
        title: what is done, for readers.
        programs: who does it: ours, then the one whose time is divided by, if there is one.
        work: (program, folder) -> what is timed, everything before it prepared. `folder` is kept
            between runs, for files that are made once.
        goal, memory_goal: largest ratio of the times, of peak memory; None where there is none.
        quick: measured with `--quick` too.
        warm_up: calls before the one that counts, in the same process.
    """

    name: str
    title: str
    programs: tuple[str, ...]
    work: Callable[[str, Path], Callable[[], Any]]
    goal: float | None = None
    memory_goal: float | None = None
    quick: bool = False
    warm_up: int = 0


@dataclass(frozen=True)
class Measured:
    """Runs of one program: seconds of the clock, of the processor, and peak MiB of each."""

    runs: tuple[dict[str, float], ...]

    def median(self, figure: str) -> float:
        return median(run[figure] for run in self.runs)

    def spread(self) -> float:
        """Slowest minus fastest run, over the median."""
        seconds = [run["seconds"] for run in self.runs]
        return (max(seconds) - min(seconds)) / self.median("seconds")


def figures(work: Callable[[], Any], warm_up: int) -> dict[str, float]:
    """Of one call of `work`; peak memory is that of the whole process so far."""
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
    """Every program once a round, in processes that print `figures` as their last line.

    Raises:
        RuntimeError: a process failed; with the end of what it wrote.
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
    """Processors that others keep busy: the mean over half a second in which this one sleeps."""
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
