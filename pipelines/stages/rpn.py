"""Stage `rpn`: trains the proposal network, or uses given weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.proposers import outputs, start
from unidet.pipelines.proposers.proposer import Proposer, build_proposer, kind_of
from unidet.pipelines.wiring.image_batches import counted_in_steps, training_batches
from unidet.pipelines.wiring.image_sets import (
    ImageSet,
    is_training,
    open_training_sets,
    read_vocabulary,
)
from unidet.pipelines.wiring.precision import precision_settings
from unidet.pipelines.wiring.seeding import seeded
from unidet.pipelines.wiring.starting_weights import keep_weights, need_weights
from unidet.pipelines.wiring.study_networks import end_to_end, why_end_to_end
from unidet.pipelines.wiring.study_sets import (
    proposers,
    study_of_network,
    training_data,
    training_sets,
    training_vocabularies,
    why_untrained,
)


def run(job: Job) -> None:
    job.bring_up()
    config = job.config.rpn
    categories = _outputs(job)
    network = seeded(job.config.seed, lambda: build_proposer(config, len(categories)))
    names = outputs.names_of(categories)
    start.initialize(network, config, names, job.files, job.inputs)
    if config.training is None:
        keep_weights(job, network, "rpn", names)
    else:
        _train(job, network, outputs.datasets_of(config, open_training_sets(job)), names)
    outputs.save_outputs(job.out, categories)


def _outputs(job: Job) -> outputs.Outputs:
    """What the network tells apart, by the first training set that the job takes."""
    for label in filter(is_training, job.inputs):
        return outputs.outputs(job.config.rpn, label, read_vocabulary(job.inputs[label]))
    return ()


def _train(
    job: Job, network: Proposer, training: list[ImageSet], names: Sequence[str | None]
) -> None:
    from unidet.data.loader import Source
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    config = job.config.rpn
    sources = [Source(data.split, data.images) for data in training]
    settings = counted_in_steps(config.training, sources, config.sampler)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(
        sources, config.images, settings, job.config.seed, share, config.sampler
    )
    if config.weights:
        kind_of(config.network).refit(network, batches_from)
    loss_of = outputs.loss_of(config, training, network.loss)
    train_and_keep(job, "rpn", network, loss_of, batches_from, settings, classes=names)


def nodes(config: Config) -> tuple[str, ...]:
    return () if end_to_end(config) else tuple(proposers(config))


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    """The training sets; of a network that is not trained only what its outputs stand for.

    Raises:
        UserError: nothing says what they stand for.
    """
    starting = {stage: Input(Node(stage)) for stage in start.inputs(config.rpn)}
    if config.rpn.training is not None:
        return training_data(config) | starting
    if config.rpn.classes == "agnostic":
        return starting
    vocabularies = training_vocabularies(config)
    if not vocabularies:
        raise UserError(
            f"rpn.classes: {config.rpn.classes} takes the categories of the first training set, "
            f"but {why_untrained(config)}"
        )
    first = next(iter(vocabularies))
    return {first: vocabularies[first]} | starting


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """A network that is not trained must be given."""
    need_weights(config.rpn, "rpn")


def settings(config: Config, name: str) -> dict[str, Any]:
    """The order of the training sets is that of their dataset ids."""
    if config.rpn.training is None:
        return {}
    return {"data": {"training": list(training_sets(config))}} | precision_settings(config)


STAGE = Stage(
    name="rpn",
    version=2,
    reads=("rpn", "seed"),
    run=run,
    nodes=nodes,
    view=study_of_network,
    why_none=why_end_to_end,
    inputs=inputs,
    settings=settings,
    files=start.files,
    code=lambda config: start.code_of(config.rpn),
    check=check,
    data_parallel=lambda config: config.rpn.training is not None,
)
