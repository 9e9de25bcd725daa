"""Stage `end2end`: trains one network for proposals and classification, which replaces `rpn` and
`roi`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from unidet.config.stages import EndToEndConfig
from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import backbones, starting_weights, study_networks
from unidet.pipelines.wiring.classifier import keep_classifier_settings
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
from unidet.pipelines.wiring.study_networks import end_to_end
from unidet.pipelines.wiring.study_sets import knows_text, training_data, why_no_text
from unidet.pipelines.wiring.training_names import (
    embeddings_of_training,
    order_of_training,
    set_vocabularies,
)

NAME = "end2end"


def run(job: Job) -> None:
    job.bring_up()
    config, networks = job.config.end2end, import_module(study_networks.MODULE)
    network = seeded(job.config.seed, lambda: networks.build_end_to_end(config))
    if config.weights:
        trained_further = config.training is not None
        load_starting_weights(network, job.files["weights"], is_trained_further=trained_further)
    else:
        networks.initialize(network, config, job.inputs)
    if config.training is None:
        keep_weights(job, network, NAME)
    else:
        _train(job, network)
    if (job.out / "model.safetensors").exists():  # the first of several processes leaves it
        trained = networks.open_end_to_end(config, job.out)
        keep_classifier_settings(job, trained.regions)


def _train(job: Job, network: Any) -> None:
    from unidet.data.loader import Source
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    config, training = job.config.end2end, open_training_sets(job)
    set_vocabularies(job, network.regions, training, config)
    sources = [Source(data.split, data.images) for data in training]
    settings = counted_in_steps(config.training, sources, config.sampler)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(
        sources, config.images, settings, job.config.seed, share, config.sampler
    )
    train_and_keep(
        job, NAME, network, network.loss, batches_from, settings, prepare=network.prepare
    )


def nodes(config: Config) -> tuple[str, ...]:
    return ("",) if end_to_end(config) and knows_text(config) else ()


def why_none(config: Config) -> str:
    if end_to_end(config):
        return why_no_text(config)
    return (
        "proposals and names have a network each (end2end=none), of stages rpn and roi; a page of "
        "conf/end2end/ trains one for both"
    )


def _network(config: Config) -> EndToEndConfig:
    """Of a study that has one; others have no node."""
    settings = end_to_end(config)
    assert settings is not None
    return settings


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    settings = _network(config)
    start = () if settings.weights else backbones.inputs(settings.network.initialize)
    starting = {stage: Input(Node(stage)) for stage in start}
    if settings.training is None:
        return starting
    return training_data(config) | embeddings_of_training(config) | starting


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """A network that is not trained must be given."""
    need_weights(_network(config), NAME)


def settings(config: Config, name: str) -> dict[str, Any]:
    values = end_to_end(config)
    if values is None or values.training is None:
        return {}
    return order_of_training(config) | precision_settings(config)


def files(config: Config, name: str) -> dict[str, Path]:
    values = _network(config)
    if values.weights:
        return starting_file("end2end.weights", config.data.root, values.weights)
    return backbones.files(values.network.initialize)


def code(config: Config) -> tuple[str, ...]:
    values = end_to_end(config)
    if values is None:
        return ()
    parts = import_module(study_networks.MODULE).code_of(values)
    return (study_networks.MODULE, *parts, *starting_weights.code_of(values.weights))


STAGE = Stage(
    name=NAME,
    version=1,
    reads=("end2end", "seed"),
    run=run,
    nodes=nodes,
    why_none=why_none,
    inputs=inputs,
    settings=settings,
    files=files,
    code=code,
    check=check,
    data_parallel=lambda config: bool((values := end_to_end(config)) and values.training),
)
