"""The message when a stage runs out of GPU memory: which setting helps, and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from unidet.backend.gpu_memory import is_full, when_full
from unidet.config.study import Config
from unidet.config.training import TrainingConfig
from unidet.errors import UserError
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.stage import Job, Sharding

_BATCHES = {"coco_eval": "proposals", "finetune_raw": "lvis_raw"}
"""Stages that take their batch size from another subtree."""
_WHOLE_BATCH = ("clip",)
"""Stages whose loss compares all of a batch, which therefore does not divide."""


@contextmanager
def full_gpu_explained(
    node: Node, config: Config, job: Job, sharding: Sharding | None
) -> Iterator[None]:
    """Around a stage's work.

    Raises:
        UserError: it has filled the GPU's memory; one line in place of Jittor's table.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_full(error):
            raise
        setting = setting_that_helps(node.stage, config)
        raise UserError(f"{node}: {when_full(_kept(job, sharding), setting)}") from error


def setting_that_helps(stage: str, config: Config) -> str:
    """The override for fewer images at a time; empty if it is one already, or there is no such
    setting.
    """
    training = getattr(getattr(config, stage, None), "training", None)
    if isinstance(training, TrainingConfig):
        return _training_setting(stage, training, config.train.processes)
    subtree = _BATCHES.get(stage, stage)
    size = getattr(getattr(config, subtree, None), "batch_size", 1)
    return f"{subtree}.batch_size={size // 2}" if size > 1 else ""


def _training_setting(stage: str, training: TrainingConfig, processes: int) -> str:
    size, parts = training.batch_size, training.accumulate
    if stage in _WHOLE_BATCH:
        return f"{stage}.training.batch_size={size // 2}" if size > 1 else ""
    finer = [n for n in range(2 * parts, size + 1) if size % (n * processes) == 0]
    return f"{stage}.training.accumulate={finer[0]} (the same batch in more parts)" if finer else ""


def _kept(job: Job, sharding: Sharding | None) -> str:
    if sharding is not None:
        plan = sharding.plan(job)
        finished = len(plan) - len(plan.missing(job.work))
        return f"the same stage resumes with {finished} of {len(plan)} shards finished"
    if step := _saved_step(job.work):
        return (
            f"training resumes after step {step} where none of its settings changes, "
            "from its start where one does"
        )
    return "nothing of it is saved yet"


def _saved_step(work: Path) -> int:
    """Of the newest checkpoint; 0 where there is none."""
    from unidet.training.checkpoint import FILE  # tensors are in use where this is asked

    try:
        with safe_open(work / FILE, "numpy") as checkpoint:
            return int(checkpoint.get_tensor("step")[0])
    except (FileNotFoundError, SafetensorError):
        return 0
