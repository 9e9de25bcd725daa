"""Several processes work on one stage: each computes shards that no other has claimed.

This process keeps the lock, waits, and publishes; the others get a file that says what to do
(`unidet work FILE`) and leave shards in the stage's working folder, nothing else.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import IO, Any, Protocol

from unidet.backend.interpreter import python_command
from unidet.backend.toolchain import default_threads
from unidet.config.study import Config
from unidet.console.interrupt import EXIT_CODE
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.stage import Job, Sharding
from unidet.store.lock import Owner, holder

POLL_SECONDS = 0.3
PATIENCE = 30.0  # seconds that a process gets to end after it was asked to
TASK = "task.json"
TASK_KEYS = {"node", "work", "out", "inputs", "siblings", "config"}
_MAIN = """from unidet.cli import main
main()
"""
_ATTACHED = f"""from unidet.console.interrupt import stop_with_parent
stop_with_parent()
{_MAIN}"""


class Workers(Protocol):
    """The processes started for one stage."""

    def running(self) -> int: ...

    def failures(self) -> list[str]:
        """What went wrong in each process that failed, one line each; call when all have ended."""

    def stop(self) -> None:
        """End them all, and wait."""


def fill_shards(node: Node, sharding: Sharding, config: Config, job: Job) -> None:
    """Compute all shards of a stage, in this process or in the configured number of processes.

    Raises:
        UserError: processes failed and left shards unfinished.
        Interrupted: asked to stop; what is finished stays.
    """
    count = sharding.processes(config)
    if count == 1 and not config.cluster.executor:
        sharding.fill(job)
        return
    shards = sharding.plan(job)
    workers = _start(node, config, job, count)
    progress = job.progress(f"{node}, {count} processes: shards")
    try:
        while workers.running():
            time.sleep(POLL_SECONDS)
            progress.update(len(shards) - len(shards.missing(job.work)), len(shards))
    except BaseException:
        workers.stop()
        raise
    finally:
        progress.close()
    failures = workers.failures()
    if failures and shards.missing(job.work):
        raise UserError(f"{node}: {failures[0]}; finished shards are kept for the next run")
    for failure in failures:
        say(f"  {node}: {failure}; other processes finished its shards")


def _start(node: Node, config: Config, job: Job, count: int) -> Workers:
    if config.cluster.executor:
        from unidet.pipelines.engine.cluster import SubmittedWorkers

        task = write_task(job, node, config)
        return SubmittedWorkers(node.stage, task, count, config.cluster, job.work / "cluster")
    task = write_task(job, node, sharing_cores(config, count))
    return LocalWorkers(task, count, job.work / "processes")


def sharing_cores(config: Config, count: int) -> Config:
    """The configuration for one of `count` processes on this machine."""
    threads = config.runtime.threads or max(1, default_threads() // count)
    return replace(config, runtime=replace(config.runtime, threads=threads))


# --- the task file ---------------------------------------------------------------------------


def write_task(job: Job, node: Node, config: Config) -> Path:
    """Write the task of a process to a file, as readable JSON."""
    path = job.work / TASK
    task = {
        "node": str(node),
        "work": str(job.work.absolute()),
        "out": str(job.out.absolute()),
        "inputs": {name: str(folder.absolute()) for name, folder in job.inputs.items()},
        "siblings": [str(folder.absolute()) for folder in job.siblings()],
        "config": asdict(replace(config, remote="")),  # for whoever waits; it may hold a password
    }
    path.write_text(json.dumps(task, indent=1))
    return path


def read_task(path: Path) -> Mapping[str, Any]:
    """What `write_task` wrote.

    Raises:
        UserError: the file is missing or is no task.
    """
    try:
        task = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a task file ({error}); a running stage writes it") from None
    if not isinstance(task, dict) or task.keys() != TASK_KEYS:
        raise UserError(f"{path}: not a task file; a running stage writes it")
    return task


def unidet_command(*arguments: str, attached: bool = False) -> list[str]:
    """A `unidet` command of this installation; with `attached` it stops when its input closes."""
    return python_command(_ATTACHED if attached else _MAIN, *arguments)


def work_command(task: Path) -> list[str]:
    """The command of one process."""
    return unidet_command("work", str(task))


# --- processes of this machine -----------------------------------------------------------------


class LocalWorkers:
    """Child processes; each ends when this process does, however that ends."""

    def __init__(self, task: Path, count: int, logs: Path) -> None:
        logs.mkdir(exist_ok=True)
        self._logs = [logs / f"{number}.log" for number in range(count)]
        self._children = [_child(task, log) for log in self._logs]

    def running(self) -> int:
        return sum(child.poll() is None for child in self._children)

    def failures(self) -> list[str]:
        parts = zip(self._children, self._logs, strict=True)
        return [why_ended(end(child), log) for child, log in parts if end(child) != 0]

    def stop(self) -> None:
        for child in self._children:
            child.terminate()
        deadline = time.monotonic() + PATIENCE
        while self.running() and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        for child in self._children:
            child.kill()  # does nothing to one that has ended
            end(child)


def _child(task: Path, log: Path) -> subprocess.Popen:
    with log.open("wb") as opened:
        return start_attached([*work_command(task), "--attached"], opened)


def start_attached(
    command: list[str], log: IO[bytes] | None, defaults: Mapping[str, str] | None = None
) -> subprocess.Popen:
    """Start a process beyond Ctrl-C, with a pipe that closes when this process ends.

    `defaults` are environment variables for it, where they are not set.
    """
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        env={**(defaults or {}), **os.environ},
        start_new_session=True,
    )


def process_name(owner: Owner | None = None) -> str:
    """Identifies this process, or the owner of a lock, among all processes on all machines."""
    host, pid = (owner.host, owner.pid) if owner else (socket.gethostname(), os.getpid())
    return f"{host}-{pid}"


@cache
def end_with(lock: Path, owner: str) -> None:
    """Let this process, a launcher's on the machine of `owner`, end when that holds `lock` no more.

    What it has started has a pipe from it, and ends then too. On other machines the queue is in
    charge.

    Args:
        owner: its `process_name`.
    """
    mine = process_name()
    if owner == mine or owner.rpartition("-")[0] != mine.rpartition("-")[0]:
        return

    def watch() -> None:
        while (held := holder(lock)) and process_name(held) == owner:
            time.sleep(POLL_SECONDS)
        os._exit(EXIT_CODE)

    threading.Thread(target=watch, daemon=True).start()


def end(child: subprocess.Popen) -> int:
    """Wait for a process of `start_attached`; its exit status."""
    status = child.wait()
    if child.stdin is not None:
        child.stdin.close()
    return status


def why_ended(status: int, log: Path) -> str:
    """One line on a process that failed: its own last words, or the signal that ended it."""
    lines = [
        line
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        if line.strip()
    ]
    if status == 2 and lines:
        return lines[-1].removeprefix("unidet: ")
    how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"a process {how}: {lines[-1] if lines else 'no output'} (see {log})"
