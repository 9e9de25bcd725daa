"""One job of a sweep, wherever a launcher runs it: a `unidet` command, its log and its outcome."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from unidet.console.interrupt import EXIT_CODE, stop_requested
from unidet.pipelines.engine.processes import end, unidet_command
from unidet.store.provenance import redact

POLL_SECONDS = 0.2


def stop_name() -> str:
    """A file of this name in the sweep's folder stops the jobs that this process has launched, on
    all machines; those of another process with the same command go on."""
    return f"stop-{socket.gethostname()}-{os.getpid()}"


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
    _write(folder / f"{name}.json", job)


def _write(path: Path, job: Mapping[str, Any]) -> None:
    """For its owner's eyes: while a job runs, the address of a remote may hold a password."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(job))


def read_outcome(folder: Path, name: str) -> Outcome:
    """What `run_job` left; a job that left nothing has failed."""
    try:
        return Outcome(**json.loads(_outcome(folder, name).read_bytes()))
    except FileNotFoundError:
        return Outcome(1, "", "the job did not come to its end")


def write_outcome(folder: Path, name: str, outcome: Outcome) -> None:
    _outcome(folder, name).write_text(json.dumps(asdict(outcome)))


def run_job(folder: Path, name: str, stop: str) -> None:
    """Run the job's command to its end and note its outcome; raises nothing for a failing one.

    Args:
        stop: what `stop_name` gave where the job was launched.
    """
    job = json.loads((folder / f"{name}.json").read_bytes())
    log, printed = folder / f"{name}.log", folder / f"{name}.out"
    print(f"--- {job['label']}", file=sys.stderr, flush=True)
    status = EXIT_CODE
    if not _asked_to_stop(folder / stop):
        with log.open("wb") as errors, printed.open("wb") as output:
            child = subprocess.Popen(
                unidet_command(*job["overrides"], attached=True),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
            status = _wait(child, log, folder / stop)
    artefact = _last_line(printed) if status == 0 else ""
    _write(folder / f"{name}.json", {**job, "overrides": list(map(redact, job["overrides"]))})
    said = "" if status == 0 else _last_line(log).removeprefix("unidet: ")
    write_outcome(folder, name, Outcome(status, artefact, said))


def _wait(child: subprocess.Popen, log: Path, stop: Path) -> int:
    """The child's exit status; shows its log, and hands on a request to stop."""
    signalled = False
    try:
        with log.open("rb") as written:
            while child.poll() is None:
                time.sleep(POLL_SECONDS)
                _show(written)
                if not signalled and _asked_to_stop(stop):
                    child.terminate()
                    signalled = True
            _show(written)
    except BaseException:
        child.terminate()
        end(child)
        raise
    return end(child)


def _show(written: IO[bytes]) -> None:
    sys.stderr.write(written.read().decode(errors="replace"))
    sys.stderr.flush()


def _asked_to_stop(stop: Path) -> bool:
    return stop_requested() or stop.exists()


def _last_line(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines() if file.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _outcome(folder: Path, name: str) -> Path:
    return folder / f"{name}.outcome.json"
