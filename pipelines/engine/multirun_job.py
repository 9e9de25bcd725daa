"""One job of a sweep, wherever a launcher runs it: a `unidet` command, its log and its outcome."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from unidet.console.interrupt import EXIT_CODE, stop_requested
from unidet.pipelines.engine.processes import unidet_command

POLL_SECONDS = 0.2
STOP = "stop"  # a file of this name in the sweep's folder stops its jobs, on all machines


@dataclass(frozen=True)
class Outcome:
    """How a job ended: exit status, folder of its artefact, and one line where it failed."""

    status: int
    artefact: str
    said: str


def write_job(folder: Path, name: str, label: str, overrides: Sequence[str]) -> None:
    """Make a job ready to run, and forget what an earlier run of it has left."""
    folder.mkdir(parents=True, exist_ok=True)
    _outcome(folder, name).unlink(missing_ok=True)
    job = {"label": label, "overrides": list(overrides)}
    (folder / f"{name}.json").write_text(json.dumps(job))


def read_outcome(folder: Path, name: str) -> Outcome:
    """What `run_job` left; a job that left nothing has failed."""
    try:
        return Outcome(**json.loads(_outcome(folder, name).read_bytes()))
    except FileNotFoundError:
        return Outcome(1, "", "the job did not come to its end")


def write_outcome(folder: Path, name: str, outcome: Outcome) -> None:
    _outcome(folder, name).write_text(json.dumps(asdict(outcome)))


def run_job(folder: Path, name: str) -> None:
    """Run the job's command to its end and note its outcome; raises nothing for a failing one."""
    job = json.loads((folder / f"{name}.json").read_bytes())
    log, printed = folder / f"{name}.log", folder / f"{name}.out"
    print(f"--- {job['label']}", file=sys.stderr, flush=True)
    status = EXIT_CODE
    if not _asked_to_stop(folder):
        with log.open("wb") as errors, printed.open("wb") as output:
            child = subprocess.Popen(
                unidet_command(*job["overrides"]),
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            status = _wait(child, log, folder)
    artefact = _last_line(printed) if status == 0 else ""
    said = "" if status == 0 else _last_line(log).removeprefix("unidet: ")
    write_outcome(folder, name, Outcome(status, artefact, said))


def _wait(child: subprocess.Popen, log: Path, folder: Path) -> int:
    """The child's exit status; shows its log, and hands on a request to stop."""
    told = False
    try:
        with log.open("rb") as written:
            while child.poll() is None:
                time.sleep(POLL_SECONDS)
                _show(written)
                if not told and _asked_to_stop(folder):
                    child.terminate()
                    told = True
            _show(written)
    except BaseException:
        child.terminate()
        child.wait()
        raise
    return child.returncode


def _show(written: IO[bytes]) -> None:
    sys.stderr.write(written.read().decode(errors="replace"))
    sys.stderr.flush()


def _asked_to_stop(folder: Path) -> bool:
    return stop_requested() or (folder / STOP).exists()


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _outcome(folder: Path, name: str) -> Path:
    return folder / f"{name}.outcome.json"
