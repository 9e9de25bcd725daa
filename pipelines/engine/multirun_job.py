"""One job of a sweep, wherever a launcher runs it: a `unidet` command, its log and its outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from unidet.console.interrupt import EXIT_CODE, stop_requested
from unidet.pipelines.engine.processes import (
    end,
    end_with,
    process_name,
    unidet_command,
    why_ended,
)
from unidet.redaction import redact_argument
from unidet.store.disk import whole_file
from unidet.store.lock import Owner

POLL_SECONDS = 0.2
FULL_ERROR = "HYDRA_FULL_ERROR"
LOCK = "sweep.lock"
"""In the folder of a sweep: held by the process that runs it."""


def stop_name(sweep: Owner | None = None) -> str:
    """A file of this name in the sweep's folder stops the jobs that this process, or another one,
    has launched, on all machines; those of others with the same command go on."""
    return f"stop-{process_name(sweep)}"


@dataclass(frozen=True)
class Outcome:
    """How a job ended: exit status, folder of its artefact, and one line if it failed."""

    status: int
    artefact: str
    said: str


def write_job(folder: Path, name: str, label: str, overrides: Sequence[str]) -> None:
    """Prepare a job to run, and remove the results of an earlier run of it."""
    _outcome(folder, name).unlink(missing_ok=True)
    # A launcher sets this for Hydra, which a job would take for a person's wish.
    full = os.environ.get(FULL_ERROR, "0")
    _write(folder / f"{name}.json", {"label": label, "overrides": [*overrides], "full_error": full})


def hide_passwords(folder: Path, name: str) -> None:
    """Remove passwords in a remote's address from the file of a finished job."""
    path = folder / f"{name}.json"
    job = json.loads(path.read_bytes())
    if _without_passwords(job) != job:
        _write(path, _without_passwords(job))


def _without_passwords(job: Mapping[str, Any]) -> dict[str, Any]:
    return {**job, "overrides": [redact_argument(override) for override in job["overrides"]]}


def _write(path: Path, job: Mapping[str, Any]) -> None:
    """Write the file of a job; where it holds a password, only its owner can read it."""
    with whole_file(path) as partial:
        partial.touch(mode=0o666 if _without_passwords(job) == job else 0o600)
        partial.write_text(json.dumps(job))


def read_outcome(folder: Path, name: str) -> Outcome:
    """The outcome written by `run_job`; a job without one has failed."""
    try:
        return Outcome(**json.loads(_outcome(folder, name).read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return Outcome(1, "", "the job did not come to its end")


def write_outcome(folder: Path, name: str, outcome: Outcome) -> None:
    with whole_file(_outcome(folder, name)) as partial:
        partial.write_text(json.dumps(asdict(outcome)))


def run_job(folder: Path, name: str, stop: str) -> None:
    """Run the job's command to its end and note its outcome; raises nothing for a failing one.

    Args:
        stop: what `stop_name` gave where the job was launched.
    """
    end_with(folder / LOCK, stop.removeprefix("stop-"))
    job = json.loads((folder / f"{name}.json").read_bytes())
    log, printed = folder / f"{name}.log", folder / f"{name}.out"
    status, said = EXIT_CODE, ""
    if not _asked_to_stop(folder / stop):
        print(f"--- {job['label']}", file=sys.stderr, flush=True)
        with log.open("wb") as errors, printed.open("wb") as output:
            child = subprocess.Popen(
                unidet_command(*job["overrides"], attached=True),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, FULL_ERROR: job["full_error"]},
            )
            status = _wait(child, log, folder / stop)
        said = "" if status == 0 else why_ended(status, log)
    artefact = _last_line(printed) if status == 0 else ""
    hide_passwords(folder, name)
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
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def _outcome(folder: Path, name: str) -> Path:
    return folder / f"{name}.outcome.json"
