"""Stage `roi`: trains the RoI head on datasets with different label spaces, or takes one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.study import Config
from unidet.data.loader import Proposals, Source
from unidet.errors import UserError
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import backbones, classifier, starting_weights
from unidet.pipelines.wiring.classifier import build_classifier, initialise_classifier
from unidet.pipelines.wiring.datasets import Datasets, ImageSet, counted_in_steps, training_batches
from unidet.pipelines.wiring.dumped_proposals import best_proposals
from unidet.pipelines.wiring.seeding import seeded
from unidet.pipelines.wiring.starting_weights import (
    keep_weights,
    load_starting_weights,
    starting_file,
)


def run(job: Job) -> None:
    job.bring_up()
    config = job.config.roi
    network = seeded(job.config.seed, lambda: build_classifier(config.network))
    if config.weights:
        path = Path(job.config.data.root) / config.weights
        load_starting_weights(network, path, is_trained_further=config.training is not None)
    else:
        initialise_classifier(network, config.network, job.inputs)
    if config.training is None:
        keep_weights(job, network, "roi")
    else:
        _train(job, network)


def _train(job: Job, network: Any) -> None:
    from unidet.pipelines.wiring.training import train_and_keep
    from unidet.training import ranks

    config = job.config.roi
    training = Datasets(job.inputs["data"], job.config.data).training()
    network.set_vocabularies(
        [_text(job, data) for data in training],
        # As officially: a name that labels no image is not drawn as a negative either.
        allowed=[np.array([c.image_count > 0 for c in d.split.categories]) for d in training],
    )
    sources = [Source(data.split, data.images, _proposals(job, data)) for data in training]
    settings = counted_in_steps(config.training, sources)
    share = (ranks.rank(), ranks.count())
    batches_from = training_batches(sources, config.images, settings, job.config.seed, share)
    train_and_keep(
        job, "roi", network, network.loss, batches_from, settings, prepare=network.sample
    )


def _text(job: Job, data: ImageSet) -> np.ndarray:
    """(C, D) embeddings of the dataset's names, or random ones as a control (`roi.text=random`)."""
    with np.load(job.inputs["clip_embeddings"] / f"{data.vocabulary}.npz") as arrays:
        vectors = arrays["embeddings"]
    if len(vectors) != len(data.split.categories):
        raise UserError(
            f"{data.name}: {len(data.split.categories)} categories, but vocabulary "
            f"{data.vocabulary!r} has {len(vectors)} embeddings"
        )
    if job.config.roi.text == "random":
        rng = np.random.default_rng((job.config.seed, len(vectors)))
        return rng.standard_normal(vectors.shape).astype(np.float32)
    return vectors


def _proposals(job: Job, data: ImageSet) -> Proposals:
    dumped = Sharded(Path(job.inputs["proposals"]) / "training" / data.name)
    if len(dumped) != len(data.split):
        raise UserError(
            f"{data.name}: {len(data.split)} images, but proposals for {len(dumped)}; "
            "rebuild them: unidet stage=proposals proposals.training=true"
        )
    count = job.config.roi.proposals_per_image
    every = [best_proposals(dumped, row, count) for row in range(len(data.split))]
    return every.__getitem__


def inputs(config: Config) -> tuple[str, ...]:
    training = ("data", "clip_embeddings", "proposals") if config.roi.training else ()
    start = () if config.roi.weights else backbones.inputs(config.roi.network.initialise)
    return (*training, *start)


def files(config: Config) -> dict[str, Path]:
    if config.roi.weights:
        return starting_file("roi.weights", config.data.root, config.roi.weights)
    return backbones.files(config.roi.network.initialise)


def code(config: Config) -> tuple[str, ...]:
    given = starting_weights.code_of(config.roi.weights)
    return (*classifier.code_of(config.roi.network), *given)


STAGE = Stage(
    name="roi",
    version=1,
    reads=("data", "roi", "seed"),
    run=run,
    inputs=inputs,
    files=files,
    code=code,
    data_parallel=lambda config: config.roi.training is not None,
)
