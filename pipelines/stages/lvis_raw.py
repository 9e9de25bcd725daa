"""Stage `lvis_raw`: the network's pass over the evaluation images; everything after it is numpy.

Per RoI: refined box in original pixels, proposal score, unit region embedding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from unidet.config.study import Config
from unidet.pipelines.engine.shards import Columns, Sharded, ShardSet, draft_of
from unidet.pipelines.engine.stage import Job, Sharding, Stage
from unidet.pipelines.wiring.classifier import build_classifier, code_of
from unidet.pipelines.wiring.datasets import Datasets, ImageSet, test_transform
from unidet.pipelines.wiring.dumped_proposals import best_proposals

SETTINGS = "classifier.json"  # what the classifier learnt besides the region embeddings


def run(job: Job) -> None:
    for shards in plan(job):
        shards.gather(job.work, job.out)
    (job.work / SETTINGS).replace(job.out / SETTINGS)


def plan(job: Job) -> list[ShardSet]:
    return [shards for shards, _ in _parts(job)]


def fill(job: Job) -> None:
    job.bring_up()
    from unidet.data.loader import evaluation_batches
    from unidet.training.inference import as_images
    from unidet.weights.load import load_into
    from unidet.weights.read import read_checkpoint

    network = build_classifier(job.config.roi.network)
    load_into(network, read_checkpoint(job.inputs["roi"] / "model.safetensors"))
    transform = test_transform(job.config.roi.images)
    settings = job.config.lvis_raw

    def regions_of(image_set: ImageSet, rows: Sequence[int]) -> Iterator[Columns]:
        dumped = Sharded(job.inputs["proposals"] / "images" / image_set.name)
        batches = evaluation_batches(
            image_set.images,
            image_set.split,
            rows,
            transform,
            settings.batch_size,
            proposals_of=lambda row: best_proposals(dumped, row, settings.proposals),
        )
        for batch in batches:
            assert batch.proposals is not None  # proposals_of gives every image its own
            found = network.regions(as_images(batch), batch.sizes_N2, batch.proposals)
            for part, proposals, scale in zip(found, batch.proposals, batch.scales_N4, strict=True):
                boxes, embeddings = part
                yield {
                    "boxes_xyxy": (boxes / scale).astype(np.float32),
                    "proposal_scores": proposals[:, 4],
                    "embeddings": embeddings.astype(settings.precision),
                }

    for shards, image_set in _parts(job):
        progress = job.progress(f"regions {image_set.name}")
        shards.fill(job.work, partial(regions_of, image_set), progress)
        progress.close()
    draft = draft_of(job.work / SETTINGS)
    draft.write_text(json.dumps(network.classifier.settings()))
    draft.replace(job.work / SETTINGS)


def _parts(job: Job) -> list[tuple[ShardSet, ImageSet]]:
    per_shard = job.config.lvis_raw.images_per_shard
    return [
        (ShardSet(image_set.name, len(image_set.split), per_shard), image_set)
        for image_set in Datasets(job.inputs["data"], job.config.data).image_sets()
    ]


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "proposals", "roi")


STAGE = Stage(
    name="lvis_raw",
    version=1,
    reads=("data", "roi", "lvis_raw"),
    run=run,
    inputs=inputs,
    code=lambda config: code_of(config.roi.network),
    sharding=Sharding(plan, fill, processes=lambda config: config.lvis_raw.processes),
)
