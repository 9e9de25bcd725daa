"""Stage `roi`: trains the RoI head on data sets with different label spaces, or takes one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.study import Config
from unidet.data.loader import Source
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import backbones, classifier, starting_weights
from unidet.pipelines.wiring.classifier import (
    build_classifier,
    initialize_classifier,
    keep_classifier,
)
from unidet.pipelines.wiring.embedding_artefacts import read_embeddings
from unidet.pipelines.wiring.image_batches import counted_in_steps, training_batches
from unidet.pipelines.wiring.image_sets import ImageSet, open_training_sets
from unidet.pipelines.wiring.seeding import seeded
from unidet.pipelines.wiring.starting_weights import (
    keep_weights,
    load_starting_weights,
    need_weights,
    starting_file,
)
from unidet.pipelines.wiring.study_sets import (
    TRAINING,
    knows_text,
    training_data,
    training_sets,
    why_no_text,
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
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    config = job.config.roi
    training = open_training_sets(job)
    network.set_vocabularies(
        [_text(job, data) for data in training],
        # As officially: a name that labels no image is not drawn as a negative either.
        allowed=[np.array([c.image_count > 0 for c in d.split.categories]) for d in training],
    )
    sources = [Source(data.split, data.images, training_proposals(job, data)) for data in training]
    settings = counted_in_steps(config.training, sources, config.sampler)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(
        sources, config.images, settings, job.config.seed, share, config.sampler
    )
    train_and_keep(
        job, "roi", network, network.loss, batches_from, settings, prepare=network.sample
    )


def _text(job: Job, data: ImageSet) -> np.ndarray:
    """(C, D) embeddings of the set's names, or random ones as a control (`roi.text=random`)."""
    vocabulary = dict(job.settings["data"]["training"])[f"{TRAINING}{data.name}"]
    vectors = read_embeddings(job.inputs[str(Node("clip_embeddings", vocabulary))], data)
    if job.config.roi.text == "random":
        rng = np.random.default_rng((job.config.seed, len(vectors)))
        return rng.standard_normal(vectors.shape).astype(np.float32)
    return vectors


def nodes(config: Config) -> tuple[str, ...]:
    return ("",) if knows_text(config) else ()


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
    sets = training_sets(config)
    nodes = [Node("clip_embeddings", entry.vocabulary) for entry in sets.values()]
    nodes += [Node("proposals", set_name) for set_name in sets]
    return training_data(config) | {str(node): Input(node) for node in nodes} | starting


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """A head that is not trained must be given."""
    need_weights(config.roi, "roi")


def settings(config: Config, name: str) -> dict[str, Any]:
    """The training sets in the order of their dataset ids, and the vocabulary of each."""
    if config.roi.training is None:
        return {}
    sets = training_sets(config)
    return {"data": {"training": [[key, entry.vocabulary] for key, entry in sets.items()]}}


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
    why_none=why_no_text,
    inputs=inputs,
    settings=settings,
    files=files,
    code=code,
    check=check,
    data_parallel=lambda config: config.roi.training is not None,
)
