"""Stage `rpn`: trains the proposal network, or takes a trained one."""

from __future__ import annotations

from unidet.config.networks import CLNConfig
from unidet.config.study import Config
from unidet.data.loader import Source
from unidet.errors import UserError
from unidet.pipelines import proposers
from unidet.pipelines.datasets import Datasets, training_batches
from unidet.pipelines.networks import seeded
from unidet.pipelines.stage import Job, Stage


def run(job: Job) -> None:
    job.bring_up()
    config = job.config.rpn
    training = Datasets(job.inputs["data"], job.config.data).training()
    known = proposers.categories(config, training)
    network = seeded(job.config.seed, lambda: proposers.build_proposer(config, len(known)))
    proposers.initialise(network, config, job.config.data.root, job.inputs)
    if config.training is None:
        _keep(job, network)
    else:
        _train(job, network, proposers.taught(config, training))
    proposers.save_categories(job.out, known)


def _train(job: Job, network: object, training: list) -> None:
    from unidet.pipelines.training import train_and_keep

    config = job.config.rpn
    sources = [Source(data.split, data.images) for data in training]
    batches_from = training_batches(sources, config.images, config.training, job.config.seed)
    loss_of = network.loss if config.classes == "dataset" else proposers.agnostic(network.loss)
    train_and_keep(job, "rpn", network, loss_of, batches_from, config.training)


def _keep(job: Job, network: object) -> None:
    """The weights as they were given."""
    from unidet.weights.load import state_of
    from unidet.weights.write import write_safetensors

    if not job.config.rpn.weights:
        raise UserError("rpn.training: null needs a trained network; name one: rpn.weights=FILE")
    write_safetensors(job.out / "model.safetensors", state_of(network))


def inputs(config: Config) -> tuple[str, ...]:
    network = config.rpn.network
    starts_from_clip = isinstance(network, CLNConfig) and network.initialise == "clip"
    return ("data", "clip") if starts_from_clip else ("data",)


STAGE = Stage(
    name="rpn",
    version=2,
    reads=("data", "rpn", "seed"),
    run=run,
    inputs=inputs,
    files=proposers.starting_files,
)
