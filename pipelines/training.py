"""What every training stage does around the loop: log, curves, weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from unidet.config.training import TrainingConfig
from unidet.pipelines.stage import Job
from unidet.report.plots import loss_curves
from unidet.training import ranks
from unidet.training.loop import train
from unidet.weights.write import write_safetensors


def train_and_keep(
    job: Job,
    name: str,
    network: Any,
    loss_of: Callable[..., Mapping[str, Any]],
    batches_from: Callable[[int], Iterator[Any]],
    settings: TrainingConfig,
) -> None:
    """Train, then leave model.safetensors, log.csv, loss.png and TensorBoard events.

    Of several processes that train together the first one does the leaving.
    """
    progress = job.progress(f"training {name}", stoppable=False)
    weights = train(
        network,
        loss_of,
        batches_from,
        settings,
        seed=job.config.seed,
        folder=job.work,
        progress=progress,
    )
    progress.close()
    if ranks.rank() == 0:
        write_safetensors(job.out / "model.safetensors", weights)
        keep_log(job, name)


def keep_log(job: Job, name: str) -> None:
    """Copy the log and its events from the working folder, and draw the loss curves."""
    shutil.copyfile(job.work / "log.csv", job.out / "log.csv")
    shutil.copytree(job.work / "tensorboard", job.out / "tensorboard")
    loss_curves(pd.read_csv(job.out / "log.csv"), job.out / "loss.png", name)
