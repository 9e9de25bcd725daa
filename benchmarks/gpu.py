"""Everything that a GPU has to show: parity with the processor, speed, memory, a study to its end.

    python benchmarks/gpu.py FOLDER [--device cuda|cpu] [--seconds 570] [--quick]

One part after another, those worth most first, each in a process of its own and with a limit; what
the processor has to compute for comparison runs beside them. A part that fails or takes too long
leaves the others as they are, and the same command goes on with what is missing. FOLDER gets
report.json, table.md, and each part's .log. `--device cpu --quick` rehearses it on small images.
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
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from gpu_report import report

HERE = Path(__file__).parent
PEERS = HERE.parent / ".venv-peers" / "bin" / "python"
DONE = "done"
PROCESSOR_PATIENCE = 5  # limits are those of a GPU
TINY_STUDY = (
    *("data.train_scenes=8", "data.val_scenes=5", "data.dev_scenes=4", "data.clip_scenes=12"),
    *("data.clip_test_scenes=4", "clip.training.steps=3", "clip.training.batch_size=8"),
    *("rpn.training.steps=3", "rpn.training.batch_size=2", "roi.training.steps=3"),
    *("roi.training.batch_size=2", "calibration_sweep.betas=[0.4]"),
    "calibration_sweep.gammas=[0.0,0.6]",
)


class Part(NamedTuple):
    """`limit` in seconds; `variables` beside those of this process."""

    name: str
    limit: float
    command: tuple[str, ...]
    variables: Mapping[str, str] = MappingProxyType({})


def parts(folder: Path, device: str, quick: bool) -> list[Part]:
    """What the device does, the most important first."""
    own, flags = sys.executable, ("--quick",) if quick else ()

    def networks(stage: str) -> Part:
        target = str(folder / f"{stage}.npz")
        command = (own, str(HERE / "networks.py"), device, stage, target, *flags)
        return Part(stage, 150, command)

    def speed(precision: str, limit: float, program: str = "speed") -> Part:
        name = f"{program}-{precision}"
        python = torch_python() if program == "twin" else own
        target = str(folder / f"{name}.json")
        command = (python, str(HERE / f"{program}.py"), device, target, precision, *flags)
        tf32 = {"NVIDIA_TF32_OVERRIDE": "1"} if precision == "tf32" else {}
        return Part(name, limit, command, tf32)

    def study(precision: str, limit: float) -> Part:
        name = f"study-{precision}"
        changes = [f"runtime.device={device}", f"runtime.precision={precision}"]
        changes += [f"store.root={folder / name}", *(TINY_STUDY if quick else ())]
        return Part(name, limit, (own, "-m", "unidet", *changes))

    cases = (own, str(HERE / "cases.py"), device, str(folder / "cases.npz"))
    return [
        Part("doctor", 240, (own, "-m", "unidet", "doctor")),
        Part("cases", 150, cases),
        networks("first"),
        networks("second"),
        speed("float32", 150),
        speed("bfloat16", 120),
        *(speed(precision, 40, "twin") for precision in ("float32", "tf32", "bfloat16")),
        study("float32", 400),
        speed("tf32", 90),
        speed("float16", 90),
        speed("float16", 40, "twin"),
        study("bfloat16", 300),
    ]


def references(folder: Path, quick: bool) -> list[Part]:
    """What the processor computes for comparison, on half of its cores."""
    own, flags = sys.executable, ("--quick",) if quick else ()
    cases = (own, str(HERE / "cases.py"), "cpu", str(folder / "cases-cpu.npz"))
    networks = [
        (own, str(HERE / "networks.py"), "cpu", stage, str(folder / f"{stage}-cpu.npz"), *flags)
        for stage in ("first", "second")
    ]
    commands = (cases, *networks)
    threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // 2))}
    return [
        Part(f"{name}-cpu", 500, command, threads)
        for name, command in zip(("cases", "first", "second"), commands, strict=True)
    ]


def torch_python() -> str:
    """The interpreter that has PyTorch: our own, else that of `make setup-peers`."""
    return sys.executable if find_spec("torch") or not PEERS.exists() else str(PEERS)


class Run:
    """Parts that are left, run until the time is over; their outcomes in parts.json."""

    def __init__(self, folder: Path, seconds: float, patience: float = 1) -> None:
        self.folder, self.end, self.patience = folder, time.monotonic() + seconds, patience
        self.states = folder / "parts.json"
        self.outcomes: dict[str, dict] = {}
        if self.states.is_file():
            self.outcomes = json.loads(self.states.read_text())
        self.lock = threading.Lock()
        self.processes: list[subprocess.Popen] = []

    def all(self, several: Iterable[Part]) -> None:
        for part in several:
            if self.outcomes.get(part.name, {}).get("outcome") != DONE:
                self.one(part)

    def one(self, part: Part) -> None:
        limit = min(part.limit * self.patience, self.end - time.monotonic())
        if limit < 5:
            self.note(part, "no time left", 0.0)
            return
        started = time.monotonic()
        self.note(part, self.outcome(part, limit), time.monotonic() - started)

    def outcome(self, part: Part, limit: float) -> str:
        """DONE, or why not, after `limit` seconds at the latest."""
        log = self.folder / f"{part.name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                part.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(HERE), **part.variables},
                start_new_session=True,
            )
        self.processes.append(process)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            end(process)
            return f"not finished in {limit:.0f} s"
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return DONE if status == 0 else f"status {status}: {lines[-1][-200:] if lines else ''}"

    def stop(self) -> None:
        """End what still runs."""
        for process in self.processes:
            end(process)

    def note(self, part: Part, what: str, seconds: float) -> None:
        with self.lock:
            self.outcomes[part.name] = {"outcome": what, "seconds": round(seconds, 1)}
            self.states.write_text(json.dumps(self.outcomes, indent=1))
            print(f"{part.name}: {what}, {seconds:.0f} s", flush=True)


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
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder, options.seconds, 1 if options.device == "cuda" else PROCESSOR_PATIENCE)
    compared = threading.Thread(
        target=run.all, args=(references(folder, options.quick),), daemon=True
    )
    try:
        compared.start()
        if options.device == "cpu":
            compared.join()  # two at once would only take the cores from each other
        run.all(parts(folder, options.device, options.quick))
        compared.join()
    finally:
        run.stop()
    found, table = report(folder, run.outcomes, options.device)
    (folder / "report.json").write_text(json.dumps(found, indent=1))
    (folder / "table.md").write_text(table)
    print(table)


if __name__ == "__main__":
    main(sys.argv[1:])
