"""Time from the start of a command to the end of its first training step, wall-clock and CPU.

    python benchmarks/first_step.py [--rounds N] STORE ARGUMENT …
    python benchmarks/first_step.py [--rounds N] full

Runs `unidet ARGUMENT …` with the artefacts in the folder STORE, stops it once its log has a step,
and deletes the unfinished artefact. `full` builds UniDetector's first stage at full size, sets its
weights and trains it for one step on an image of 800 x 1088, in a separate process.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

FULL = "import sys; sys.path.insert(0, {folder!r}); import first_step; first_step.full_size()"


def full_size() -> None:
    from unidet.backend.runtime import bring_up

    bring_up("cpu")
    from rows.full_size import propose_step

    propose_step().run()


def until_logged(command: Sequence[str], work: Path) -> tuple[float, float]:
    """Wall-clock and CPU seconds until a log in `work` has a second line."""
    shutil.rmtree(work, ignore_errors=True)
    started, used = time.perf_counter(), _children()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not any(path.read_text().count("\n") > 1 for path in work.glob("*/log.csv")):
        if process.poll() is not None:
            raise RuntimeError((process.stderr.read() if process.stderr else b"").decode()[-2000:])
        time.sleep(0.005)
    seconds = time.perf_counter() - started
    process.send_signal(signal.SIGKILL)
    process.wait()
    return seconds, _children() - used


def until_ended(command: Sequence[str]) -> tuple[float, float]:
    started, used = time.perf_counter(), _children()
    subprocess.run(command, check=True)
    return time.perf_counter() - started, _children() - used


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="runs (3)")
    parser.add_argument("store", metavar="STORE|full")
    parser.add_argument("arguments", nargs="*", metavar="ARGUMENT")
    options = parser.parse_args()
    runs = []
    for _ in range(options.rounds):
        if options.store == "full":
            script = FULL.format(folder=os.fspath(Path(__file__).parent))
            runs.append(until_ended([sys.executable, "-c", script]))
        else:
            command = [sys.executable, "-m", "unidet", *options.arguments]
            work = Path(options.store, "store", "v1", "work")
            runs.append(until_logged([*command, f"store.root={options.store}"], work))
        print(f"{runs[-1][0]:.2f} s, CPU {runs[-1][1]:.2f} s", flush=True)
    seconds, cpu = map(median, zip(*runs, strict=True))
    print(f"median {seconds:.2f} s, CPU {cpu:.2f} s")


if __name__ == "__main__":
    main()
