"""Everything that a GPU has to show: parity with the processor, speed, memory, a study to its end.

    python benchmarks/gpu.py FOLDER [--device cuda|cpu] [--seconds 570] [--quick]

Parts (gpu_parts.py) run each in a process of its own and with a limit. Beside the first ones, which
mostly compile, the toy study runs and the processor computes what they are compared with; before
speeds are taken, what still runs there is interrupted, and goes on afterwards. A part that fails or
takes too long leaves the others as they are, and the same command goes on with what is missing.
FOLDER gets report.json and table.md, new after each part, and each part's .log.

`--references` only computes what needs no GPU, on any machine; FOLDER then goes to the GPU's.
`--device cpu --quick` rehearses it on small images.
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

DONE, INTERRUPTED = "done", "interrupted"
PROCESSOR_PATIENCE = 5  # limits are those of a GPU
BESIDE = 0.55
"""Of the time for all, after which speeds are taken, whatever still runs beside the first parts."""
SECONDS_TO_SAVE = 20
SHORTEST = 5.0  # seconds in which no part gets anywhere


class Run:
    """Parts that are left, run until the time is over; their outcomes in parts.json."""

    def __init__(self, folder: Path, device: str, seconds: float) -> None:
        self.folder, self.device = folder, device
        self.started = time.monotonic()
        self.seconds = seconds
        self.patience = 1 if device == "cuda" else PROCESSOR_PATIENCE
        self.states = folder / "parts.json"
        self.outcomes: dict[str, dict] = {}
        if self.states.is_file():
            self.outcomes = json.loads(self.states.read_text())
        self.tried: set[str] = set()
        self.interrupting = False
        self.lock = threading.Lock()
        self.processes: list[subprocess.Popen] = []

    def everything(self, planned: Parts) -> None:
        if self.device == "cpu":  # two at once would only take the cores from each other
            self.all(part for group in planned for part in group)
            return
        lanes = [self.beside(planned.references)]
        self.all(planned.first)
        lanes.append(self.beside(planned.study))
        self.all(planned.parity)
        self.quiet(lanes)
        for group in (planned.timed, planned.study, planned.references, planned.last):
            self.all(group)

    def beside(self, several: Sequence[Part]) -> threading.Thread:
        lane = threading.Thread(target=self.all, args=(several,), daemon=True)
        lane.start()
        return lane

    def all(self, several: Iterable[Part]) -> None:
        for part in several:
            done = self.outcomes.get(part.name, {}).get("outcome") == DONE
            if not done and part.name not in self.tried and not self.interrupting:
                self.one(part)

    def one(self, part: Part) -> None:
        started = time.monotonic()
        left = self.seconds - (started - self.started)
        limit = min(part.limit * self.patience, left)
        outcome = "no time left" if limit < SHORTEST else self.outcome(part, limit)
        if outcome != INTERRUPTED:
            self.tried.add(part.name)
        self.note(part, outcome, time.monotonic() - started)

    def outcome(self, part: Part, limit: float) -> str:
        """DONE, or why not, after `limit` seconds at the latest."""
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
                cwd=self.folder,  # of a checkout, Python would take the folder for the package
                start_new_session=True,
            )
        self.processes.append(process)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            end(process)
            return f"not finished in {limit:.0f} s"
        if status != 0 and self.interrupting:
            return INTERRUPTED
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return DONE if status == 0 else f"status {status}: {lines[-1][-200:] if lines else ''}"

    def quiet(self, lanes: Iterable[threading.Thread]) -> None:
        """Wait for what runs beside, until it is time to interrupt it."""
        for lane in lanes:
            lane.join(max(0.0, self.started + BESIDE * self.seconds - time.monotonic()))
        self.interrupting = True
        for process in self.processes:
            interrupt(process)
        for lane in lanes:
            lane.join()
        self.interrupting = False

    def stop(self) -> None:
        """End what still runs."""
        for process in self.processes:
            end(process)

    def note(self, part: Part, outcome: str, seconds: float) -> None:
        with self.lock:
            self.outcomes[part.name] = {"outcome": outcome, "seconds": round(seconds, 1)}
            write_text(self.states, json.dumps(self.outcomes, indent=1))
            print(f"{part.name}: {outcome}, {seconds:.0f} s", flush=True)
            try:
                self.report()
            except Exception as error:  # the other parts are worth more
                print(f"report: {error!r}", flush=True)

    def report(self) -> str:
        """Its tables."""
        found, table = report(self.folder, self.outcomes, self.device)
        write_text(self.folder / "report.json", json.dumps(found, indent=1))
        write_text(self.folder / "table.md", table)
        return table


def interrupt(process: subprocess.Popen) -> None:
    """Let it save what it has; a study then ends by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_SAVE)
    end(process)


def end(process: subprocess.Popen) -> None:
    """With all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--seconds", type=float, default=570, help="for all parts together")
    parser.add_argument("--quick", action="store_true", help="small images, a tiny study")
    parser.add_argument("--references", action="store_true", help="what needs no GPU, no more")
    parser.add_argument("--torch", default=torch_python(), help="a Python that has PyTorch")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # with all that was started
    device = "cpu" if options.references else options.device
    run = Run(folder, device, options.seconds)
    planned = parts(folder, options.device, options.quick, options.torch)
    try:
        if options.references:
            run.all(planned.references)
        else:
            run.everything(planned)
    finally:
        run.stop()
    print(run.report())


if __name__ == "__main__":
    main(sys.argv[1:])
