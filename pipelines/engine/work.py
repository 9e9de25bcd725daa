"""`unidet work TASK`: one of the processes that share a stage."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from unidet.config.study import Config
from unidet.config.validate import build_config
from unidet.console.interrupt import stop_with_parent
from unidet.console.terminal import Progress
from unidet.errors import UserError
from unidet.pipelines.engine.engine import bring_up_jittor, job_of
from unidet.pipelines.engine.full_gpu import full_gpu_explained
from unidet.pipelines.engine.graph import stage_of, targets
from unidet.pipelines.engine.processes import read_task
from unidet.pipelines.engine.stage import Job, Stage


def work_on(task_file: Path, *, attached: bool, together: bool) -> None:
    """Do this process's share of a task.

    Args:
        attached: stop when standard input closes, which means that the parent process has ended.
        together: run the whole stage with the other processes of `mpirun`; otherwise compute the
            shards that no other process has claimed.

    Raises:
        UserError: no task file, or bad input to the stage.
        Interrupted: asked to stop.
    """
    task = read_task(task_file)
    config = build_config(task["config"])
    (node,) = targets(task["node"], config)
    stage = stage_of(node)
    number = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
    if attached and number == 0:  # mpirun gives input to the first process alone
        stop_with_parent()
    work = Path(task["work"])
    out = Path(task["out"])
    if number:  # what the others make as well goes with the working folder
        out = work / f"process-{number}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
    job = job_of(
        node,
        config,
        inputs={name: Path(folder) for name, folder in task["inputs"].items()},
        work=work,
        out=out,
        bring_up=lambda: bring_up_jittor(config, mpi=together),
        siblings=lambda: map(Path, task["siblings"]),
        progress=Silent if number else Progress,
    )
    with full_gpu_explained(node, config, job, stage.sharding):
        _work(stage, config, job, task_file, together)


def _work(stage: Stage, config: Config, job: Job, task_file: Path, together: bool) -> None:
    if together and stage.data_parallel(config):
        stage.run(job)
    elif not together and stage.sharding is not None:
        stage.sharding.fill(job)
    else:
        raise UserError(f"{task_file}: stage {stage.name} does not work in this way")


class Silent(Progress):
    """Shows nothing, in a process whose progress another one shows."""

    def update(self, done: int, total: int, note: str = "") -> None: ...
