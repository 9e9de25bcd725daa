"""Several processes that run one stage together, each with its share of every batch (Open MPI).

`mpirun` is a child of this process, which keeps the lock, waits, and publishes what the first of
them leaves. They stop together, at the same step, and only the first one writes.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import IO, Literal

from unidet.backend.gpu import NoCuda, NoGpu
from unidet.backend.process_gpus import too_few
from unidet.backend.runtime import try_cuda
from unidet.config.machines import TrainConfig
from unidet.config.study import Config
from unidet.console.interrupt import EXIT_CODE, Interrupted, stop_requested
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.processes import (
    POLL_SECONDS,
    end,
    sharing_cores,
    start_attached,
    work_command,
    write_task,
)
from unidet.pipelines.engine.stage import Job

REMEDY = "Debian, Ubuntu: apt install openmpi-bin libopenmpi-dev"
HANDED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "UNIDET_CACHE", "OMP_NUM_THREADS")
LOG = "mpirun.log"
# hwloc asks X displays for GPUs, and waits without limit for what answers nothing on their ports.
_NO_DISPLAY = {"HWLOC_COMPONENTS": "-gl"}


def run_together(node: Node, config: Config, job: Job) -> None:
    """Run a stage in `train.processes` processes.

    Raises:
        UserError: Open MPI or a GPU is missing, or a process failed; its checkpoint stays.
        Interrupted: asked to stop; the state is saved.
    """
    launcher = mpirun(config.train)
    config = replace(config, runtime=replace(config.runtime, device=device_for(config)))
    if not config.train.hostfile:
        config = sharing_cores(config, config.train.processes)
    task = write_task(job, node, config)
    log = job.work / LOG
    with log.open("wb") as written:
        child = start_attached(
            [*launcher, *work_command(task), "--together", "--attached"], written, _NO_DISPLAY
        )
    status = _wait(child, log)
    if status == EXIT_CODE:
        raise Interrupted(f"{node}: all processes have stopped; the state is saved")
    if status != 0:
        raise UserError(f"{node}: {reason(log, status)}; the last checkpoint is kept (see {log})")


def device_for(config: Config) -> Literal["cpu", "cuda"]:
    """The device that all processes train on: GPUs if each can have its own.

    Those on other machines (`train.hostfile`) look for theirs when they start.

    Raises:
        UserError: runtime.device=cuda, and it cannot be.
    """
    device, processes = config.runtime.device, config.train.processes
    if device == "cpu":
        return "cpu"
    try:
        gpus = len(try_cuda().driver.gpus)
        if gpus < processes and not config.train.hostfile:
            raise NoCuda(too_few(processes, gpus))
    except NoCuda as problem:
        if device == "cuda":
            raise problem.refusal() from problem
        if not isinstance(problem, NoGpu):
            say(f"  warning: the GPUs are not used: {problem}")
        return "cpu"
    return "cuda"


def mpirun(settings: TrainConfig) -> list[str]:
    """The command that starts the processes.

    Raises:
        UserError: there is no Open MPI, or no such hostfile.
    """
    missing = [tool for tool in ("mpirun", "mpicc") if shutil.which(tool) is None]
    if missing:
        raise UserError(f"train.processes={settings.processes}: {missing[0]} is missing; {REMEDY}")
    command = ["mpirun", "--bind-to", "none", "-np", str(settings.processes)]
    if os.geteuid() == 0:
        command.append("--allow-run-as-root")
    if not settings.hostfile:
        return [*command, "--oversubscribe"]
    if not Path(settings.hostfile).is_file():
        raise UserError(f"train.hostfile: {settings.hostfile} is not a file")
    exported = [part for name in HANDED_ON if name in os.environ for part in ("-x", name)]
    return [*command, "--hostfile", settings.hostfile, *exported]


def _wait(child: subprocess.Popen, log: Path) -> int:
    """The status that `mpirun` ends with; shows its output, and hands on a request to stop."""
    signalled = False
    try:
        with log.open("rb") as shown:
            while child.poll() is None:
                time.sleep(POLL_SECONDS)
                _show(shown)
                if stop_requested() and not signalled:
                    # It hands this signal on; on SIGTERM it would kill them within a second.
                    child.send_signal(signal.SIGUSR1)
                    signalled = True
    except BaseException:
        child.terminate()
        end(child)
        raise
    return end(child)


def _show(log: IO[bytes]) -> None:
    """Progress lines only: why it failed is told once, at the end."""
    for line in log.read().decode(errors="replace").splitlines():
        if line.startswith("  "):
            print(line, file=sys.stderr, flush=True)


def reason(log: Path, status: int) -> str:
    """One line on why the processes ended, from their output and that of `mpirun`."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    ours = [line.removeprefix("unidet: ") for line in lines if line.startswith("unidet: ")]
    if ours:
        return ours[-1]
    text = " ".join(" ".join(lines).split())
    killed = re.search(r"process rank (\d+) .*? exited on (signal \d+ \([\w ]+\))", text)
    if killed:
        return f"process {killed[1]} ended by {killed[2]}"
    raised = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
    return raised[-1] if raised else f"mpirun ended with status {status}"
