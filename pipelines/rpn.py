"""Stage `rpn`: trains the class-agnostic proposal network."""

from __future__ import annotations

from pathlib import Path

from unidet.config.study import Config
from unidet.data.loader import Source
from unidet.pipelines.datasets import Datasets, training_batches
from unidet.pipelines.networks import (
    build_cln,
    initialise_backbone,
    seeded,
    starting_files,
)
from unidet.pipelines.stage import Job, Stage


def run(job: Job) -> None:
    job.bring_up()
    from unidet.pipelines.training import train_and_keep

    config = job.config.rpn
    network = seeded(job.config.seed, lambda: build_cln(config.network))
    initialise_backbone(network.backbone, config.network, job.inputs)
    sources = [
        Source(data.split, data.images)
        for data in Datasets(job.inputs["data"], job.config.data).training()
    ]
    batches_from = training_batches(sources, config, job.config.seed)
    train_and_keep(job, "rpn", network, network.loss, batches_from, config.training)


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "clip") if config.rpn.network.initialise == "clip" else ("data",)


def files(config: Config) -> dict[str, Path]:
    return starting_files(config.rpn.network)


STAGE = Stage(
    name="rpn",
    version=1,
    reads=("data", "rpn", "seed"),
    run=run,
    inputs=inputs,
    files=files,
)
