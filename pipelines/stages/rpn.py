"""Stage `rpn`: trains the proposal network, or takes a trained one."""

from __future__ import annotations

from typing import Any

from unidet.config.networks import CLNConfig, NanoDetPlusConfig
from unidet.config.study import Config
from unidet.data.loader import Source
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.proposers import factory as proposers
from unidet.pipelines.wiring.datasets import Datasets, counted_in_steps, training_batches
from unidet.pipelines.wiring.networks import seeded
from unidet.pipelines.wiring.starting_weights import keep_weights, unfold_norms


def run(job: Job) -> None:
    job.bring_up()
    config = job.config.rpn
    training = Datasets(job.inputs["data"], job.config.data).training()
    known = proposers.outputs(config, training)
    network = seeded(job.config.seed, lambda: proposers.build_proposer(config, len(known)))
    proposers.initialise(network, config, job.config.data.root, job.inputs)
    if config.training is None:
        keep_weights(job, network, "rpn")
    else:
        _train(job, network, proposers.taught(config, training))
    proposers.save_outputs(job.out, known)


def _train(job: Job, network: Any, training: list) -> None:
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    config = job.config.rpn
    sources = [Source(data.split, data.images) for data in training]
    settings = counted_in_steps(config.training, sources)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(sources, config.images, settings, job.config.seed, share)
    if config.weights and isinstance(config.network, NanoDetPlusConfig):
        with batches_from(0) as batches:
            unfold_norms(network, batches)
    loss_of = proposers.loss_of(config, training, network.loss)
    train_and_keep(job, "rpn", network, loss_of, batches_from, settings)


def inputs(config: Config) -> tuple[str, ...]:
    network = config.rpn.network
    of_clip = isinstance(network, CLNConfig) and network.initialise == "clip"
    starts_from_clip = of_clip and not config.rpn.weights
    return ("data", "clip") if starts_from_clip else ("data",)


STAGE = Stage(
    name="rpn",
    version=2,
    reads=("data", "rpn", "seed"),
    run=run,
    inputs=inputs,
    files=proposers.starting_files,
    data_parallel=lambda config: config.rpn.training is not None,
)
