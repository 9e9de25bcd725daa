"""`unidet work TASK`: one of the processes that share a stage."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from unidet.errors import UserError
from unidet.pipelines.engine import bring_up_jittor
from unidet.pipelines.graph import STAGES
from unidet.pipelines.processes import read_task
from unidet.pipelines.stage import Job, Subtrees
from unidet.validate import build_config


def work_on(task_file: Path, *, attached: bool) -> None:
    """Finish the shards of a task that nobody else is at.

    Args:
        attached: stop when standard input closes, for then whoever started this has ended.

    Raises:
        UserError: no task file, or bad input to the stage.
        Interrupted: asked to stop.
    """
    task = read_task(task_file)
    stage, config = STAGES[task["stage"]], build_config(task["config"])
    if stage.sharding is None:
        raise UserError(f"{task_file}: stage {stage.name} does not work in shards")
    if attached:
        threading.Thread(target=_stop_when_left_alone, daemon=True).start()
    work = Path(task["work"])
    job = Job(
        config=Subtrees(config, stage.name, stage.reads),
        inputs={name: Path(folder) for name, folder in task["inputs"].items()},
        work=work,
        out=work / "nothing-is-written-here",
        bring_up=lambda: bring_up_jittor(config),
    )
    stage.sharding.fill(job)


def _stop_when_left_alone() -> None:
    # os.read, not sys.stdin: a buffered read holds a lock that a forked child (one of Jittor's
    # compilers, closing its stdin) would wait for without end.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
