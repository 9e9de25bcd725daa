"""Runs all GPU checks: parity with the CPU, speed, memory and a complete study.

    python benchmarks/gpu.py FOLDER [--device cuda|cpu] [--seconds 570] [--quick]

Each part (gpu_parts.py) runs in its own process with a time limit. The CPU's reference results are
computed in parallel with the first parts, which mostly compile. A part that fails or exceeds its
limit does not affect the others. The same command, run again, continues with missing parts. FOLDER
receives report.json and table.md, updated after each part, and a .log of each part.

`--references` only computes the CPU's reference results. It needs no GPU; copy FOLDER to the GPU
machine afterwards. `--device cpu --quick` is a dry run on small images.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from gpu_parts import HERE, Part, Parts, parts, torch_python
from gpu_report import report
from whole_files import write_text

DONE = "done"
CPU_LIMIT_FACTOR = 5  # a part's limit is that of a GPU
SECONDS_TO_SAVE = 20  # of a study, after SIGTERM
SHORTEST = 5.0  # seconds; with less time left a part is not started


class Run:
    """Runs missing parts until the time is over; parts.json keeps their outcomes."""

    def __init__(self, folder: Path, device: str, seconds: float) -> None:
        self.folder, self.device = folder, device
        self.started = time.monotonic()
        self.seconds = seconds
        self.limit_factor = 1 if device == "cuda" else CPU_LIMIT_FACTOR
        self.states = folder / "parts.json"
        self.outcomes: dict[str, dict] = {}
        if self.states.is_file():
            self.outcomes = json.loads(self.states.read_text())
        self.lock = threading.Lock()
        self.processes: list[subprocess.Popen] = []

    def run_all(self, planned: Parts) -> None:
        references = threading.Thread(
            target=self.run_parts, args=(planned.references,), daemon=True
        )
        references.start()
        if self.device == "cpu":  # they would compete for the same cores
            references.join()
        self.run_parts([*planned.first, *planned.parity])
        references.join()
        self.run_parts([*planned.timed, *planned.last])

    def run_parts(self, wanted: Iterable[Part]) -> None:
        for part in wanted:
            if self.outcomes.get(part.name, {}).get("outcome") != DONE:
                self.run_part(part)

    def run_part(self, part: Part) -> None:
        started = time.monotonic()
        left = self.seconds - (started - self.started)
        limit = min(part.limit * self.limit_factor, left)
        outcome = "no time left" if limit < SHORTEST else self.execute(part, limit)
        self.note(part, outcome, time.monotonic() - started)

    def execute(self, part: Part, limit: float) -> str:
        """Run the part for at most `limit` seconds; returns DONE or why it is not done."""
        log = self.folder / f"{part.name}.log"
        before = os.environ.get("PYTHONPATH")
        paths = os.pathsep.join([str(HERE), *([before] if before else [])])
        variables = {"PYTHONPATH": paths, "PYTHONUNBUFFERED": "1", **part.variables}
        with log.open("wb") as output:
            process = subprocess.Popen(
                part.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **variables},
                cwd=self.folder,  # in a checkout, `import unidet` would find the folder `unidet`
                start_new_session=True,
            )
        self.processes.append(process)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            interrupt(process)
            return f"not finished in {limit:.0f} s"
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return DONE if status == 0 else f"status {status}: {lines[-1][-200:] if lines else ''}"

    def stop(self) -> None:
        """Kill all processes that still run."""
        for process in self.processes:
            end(process)

    def note(self, part: Part, outcome: str, seconds: float) -> None:
        with self.lock:
            self.outcomes[part.name] = {"outcome": outcome, "seconds": round(seconds, 1)}
            write_text(self.states, json.dumps(self.outcomes, indent=1))
            print(f"{part.name}: {outcome}, {seconds:.0f} s", flush=True)
            try:
                self.report()
            except Exception as error:  # a failing report must not stop the other parts
                print(f"report: {error!r}", flush=True)

    def report(self) -> str:
        """Write report.json and table.md; returns the tables."""
        figures, table = report(self.folder, self.outcomes, self.device)
        write_text(self.folder / "report.json", json.dumps(figures, indent=1))
        write_text(self.folder / "table.md", table)
        return table


def interrupt(process: subprocess.Popen) -> None:
    """Send SIGTERM, so that a study saves its state and exits; kill it if it takes too long."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_SAVE)
    end(process)


def end(process: subprocess.Popen) -> None:
    """Kill the process and its children."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=570, help="time for all parts (570)")
    parser.add_argument("--quick", action="store_true", help="small images, a tiny study")
    parser.add_argument("--references", action="store_true", help="only parts that need no GPU")
    parser.add_argument("--torch", default=torch_python(), help="a Python with PyTorch")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # runs `finally` below
    device = "cpu" if options.references else options.device
    run = Run(folder, device, options.seconds)
    planned = parts(folder, options.device, options.quick, options.torch)
    try:
        if options.references:
            run.run_parts(planned.references)
        else:
            run.run_all(planned)
    finally:
        run.stop()
    print(run.report())


if __name__ == "__main__":
    main(sys.argv[1:])
