"""The part of all training stages around the loop: log, curves, weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from unidet.config.training import TrainingConfig
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.precision import precision_of
from unidet.training import log, ranks
from unidet.training.loop import train
from unidet.training.step import LossOf, Prepare, as_it_is
from unidet.weights.write import metadata_of, write_safetensors


def train_and_keep(
    job: Job,
    name: str,
    network: Any,
    loss_of: LossOf,
    batches_from: Callable[[int], Iterator[Any]],
    settings: TrainingConfig,
    prepare: Prepare = as_it_is,
    classes: Sequence[str | None] = (),
) -> None:
    """Train, then write model.safetensors, log.csv, loss.png and TensorBoard events.

    `classes` are the names of the outputs, which the weights' file then carries.

    Of several processes that train together only the first writes. The precision is what the
    stage's settings say (`precision_settings`).
    """
    job.unchanged()  # now that all is read; what changes during the training changes nothing
    progress = job.progress(f"training {name}", stoppable=False)
    weights = train(
        network,
        loss_of,
        batches_from,
        settings,
        seed=job.config.seed,
        folder=job.work,
        progress=progress,
        prepare=prepare,
        precision=precision_of(job),
    )
    progress.close()
    if ranks.rank() == 0:
        write_safetensors(job.out / "model.safetensors", weights, metadata_of(classes))
        keep_log(job, name)


def keep_log(job: Job, name: str) -> None:
    """Write the log and its events, and draw the loss curves."""
    # What draws takes a second to load, which the first step does not wait for.
    import pandas as pd

    from unidet.report.plots import loss_curves

    log.keep_log(job.work, job.out)
    loss_curves(pd.read_csv(job.out / log.FILE), job.out / "loss.png", name)
