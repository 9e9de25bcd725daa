"""Stage `roi`: trains the RoI head on datasets with different label spaces, or uses given
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import backbones, classifier, starting_weights
from unidet.pipelines.wiring.classifier import (
    build_classifier,
    initialize_classifier,
    keep_classifier,
)
from unidet.pipelines.wiring.image_batches import counted_in_steps, training_batches
from unidet.pipelines.wiring.image_sets import open_training_sets
from unidet.pipelines.wiring.precision import precision_settings
from unidet.pipelines.wiring.seeding import seeded
from unidet.pipelines.wiring.starting_weights import (
    keep_weights,
    load_starting_weights,
    need_weights,
    starting_file,
)
from unidet.pipelines.wiring.study_networks import end_to_end, why_end_to_end
from unidet.pipelines.wiring.study_sets import (
    knows_text,
    training_data,
    training_sets,
    why_no_text,
)
from unidet.pipelines.wiring.training_names import (
    embeddings_of_training,
    order_of_training,
    set_vocabularies,
)
from unidet.pipelines.wiring.training_proposals import training_proposals


def run(job: Job) -> None:
    job.bring_up()
    config = job.config.roi
    network = seeded(job.config.seed, lambda: build_classifier(config.network))
    if config.weights:
        trained_further = config.training is not None
        load_starting_weights(network, job.files["weights"], is_trained_further=trained_further)
    else:
        initialize_classifier(network, config.network, job.inputs)
    if config.training is None:
        keep_weights(job, network, "roi")
    else:
        _train(job, network)
    keep_classifier(job)


def _train(job: Job, network: Any) -> None:
    from unidet.data.loader import Source
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    config = job.config.roi
    training = open_training_sets(job)
    set_vocabularies(job, network, training, config)
    sources = [Source(data.split, data.images, training_proposals(job, data)) for data in training]
    settings = counted_in_steps(config.training, sources, config.sampler)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(
        sources, config.images, settings, job.config.seed, share, config.sampler
    )
    train_and_keep(
        job, "roi", network, network.loss_in_pieces, batches_from, settings, prepare=network.sample
    )


def nodes(config: Config) -> tuple[str, ...]:
    return ("",) if knows_text(config) and not end_to_end(config) else ()


def why_none(config: Config) -> str:
    return why_end_to_end(config) if end_to_end(config) else why_no_text(config)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    start = () if config.roi.weights else backbones.inputs(config.roi.network.initialize)
    starting = {stage: Input(Node(stage)) for stage in start}
    if config.roi.training is None:
        return starting
    if not config.proposals.training:
        raise UserError(
            "proposals.training: a RoI head is trained on the training sets' proposals; give "
            "proposals.training=true, or a trained head: roi.training=null roi.weights=FILE"
        )
    proposals = [Node("proposals", set_name) for set_name in training_sets(config)]
    nodes = {str(node): Input(node) for node in proposals}
    return training_data(config) | embeddings_of_training(config) | nodes | starting


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """A head that is not trained must be given."""
    need_weights(config.roi, "roi")


def settings(config: Config, name: str) -> dict[str, Any]:
    if config.roi.training is None:
        return {}
    return order_of_training(config) | precision_settings(config)


def files(config: Config, name: str) -> dict[str, Path]:
    if config.roi.weights:
        return starting_file("roi.weights", config.data.root, config.roi.weights)
    return backbones.files(config.roi.network.initialize)


def code(config: Config) -> tuple[str, ...]:
    starting = starting_weights.code_of(config.roi.weights)
    return (*classifier.code_of(config.roi.network), *starting)


STAGE = Stage(
    name="roi",
    version=2,
    reads=("roi", "seed"),
    run=run,
    nodes=nodes,
    why_none=why_none,
    inputs=inputs,
    settings=settings,
    files=files,
    code=code,
    check=check,
    data_parallel=lambda config: config.roi.training is not None,
)
