"""Processes that share a stage's shards, as a job array of submitit (Slurm, or its local executor).

Tasks read the task file and the store from a file system that all machines see.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from unidet.config.machines import ClusterConfig
from unidet.errors import UserError
from unidet.pipelines.engine.processes import (
    end,
    end_with,
    process_name,
    start_attached,
    work_command,
)

REMEDY = "run in the checkout: pip install '.[cluster]'"


class ShardTask:
    """What submitit runs in each task of the array; it may also be run again alone.

    On the machine of the run it ends with that, even if nobody can tell it to.
    """

    def __call__(self, task: str, run: str) -> None:
        end_with(_lock_of(Path(task).parent), run)
        child = start_attached([*work_command(Path(task)), "--attached"], None)
        try:
            status = end(child)
        except BaseException:
            child.terminate()
            end(child)
            raise
        if status != 0:
            raise subprocess.CalledProcessError(status, "unidet work")

    def checkpoint(self, task: str, run: str) -> Any:
        """Preempted or out of time: queue again; finished shards stay finished."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(ShardTask(), task, run)


class SubmittedWorkers:
    """An array of `count` tasks."""

    def __init__(
        self, stage: str, task: Path, count: int, settings: ClusterConfig, folder: Path
    ) -> None:
        executor = _executor(settings, folder)
        executor.update_parameters(name=f"unidet-{stage}", **settings.parameters)
        run = process_name()
        self._jobs = executor.map_array(ShardTask(), [str(task.absolute())] * count, [run] * count)

    def running(self) -> int:
        return sum(not job.done() for job in self._jobs)

    def failures(self) -> list[str]:
        return [line for line in map(_why_failed, self._jobs) if line]

    def stop(self) -> None:
        for job in self._jobs:
            job.cancel()
        for job in self._jobs:
            job.wait()


def _lock_of(work: Path) -> Path:
    """The lock of the key that is worked for there, which its run holds."""
    return work.parents[1] / "locks" / f"{work.name}.lock"


def _executor(settings: ClusterConfig, folder: Path) -> Any:
    try:
        import submitit
    except ImportError:
        raise UserError(
            f"cluster.executor={settings.executor}: submitit is missing; {REMEDY}"
        ) from None
    try:
        return submitit.AutoExecutor(folder=folder, cluster=settings.executor)
    except RuntimeError as error:
        raise UserError(f"cluster.executor={settings.executor}: {error}") from None


def _why_failed(job: Any) -> str:
    """The last words of a task that failed, on one line; nothing for one that did not."""
    if job.exception() is None:
        return ""
    said = [line for line in (job.stderr() or "").splitlines() if line.startswith("unidet: ")]
    if said:
        return said[-1].removeprefix("unidet: ")
    return f"task {job.job_id} failed (see {job.paths.stderr})"
