"""Stage `lvis_raw`: the network's pass over the evaluation images; everything after it is numpy.

Per RoI: refined box in original pixels, proposal score, unit region embedding (float16).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np

from unidet.config.study import Config
from unidet.pipelines.datasets import Datasets, ImageSet, test_transform
from unidet.pipelines.shards import Columns, Sharded, write_shards
from unidet.pipelines.stage import Job, Stage


def run(job: Job) -> None:
    job.bring_up()
    from unidet.data.loader import evaluation_batches
    from unidet.pipelines.networks import build_classifier
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
            found = network.regions(as_images(batch), batch.sizes_N2, batch.proposals)
            for part, proposals, scale in zip(found, batch.proposals, batch.scales_N4, strict=True):
                boxes, embeddings = part
                yield {
                    "boxes_xyxy": (boxes / scale).astype(np.float32),
                    "proposal_scores": proposals[:, 4],
                    "embeddings": embeddings.astype(np.float16),
                }

    for image_set in Datasets(job.inputs["data"], job.config.data).image_sets():
        progress = job.progress(f"regions {image_set.name}")
        write_shards(
            job.out / image_set.name,
            job.work / "shards" / image_set.name,
            len(image_set.split),
            settings.images_per_shard,
            lambda rows, image_set=image_set: regions_of(image_set, rows),
            progress,
        )
        progress.close()
    (job.out / "classifier.json").write_text(json.dumps(network.classifier.settings()))


def best_proposals(dumped: Sharded, row: int, count: int) -> np.ndarray:
    """(P, 5) the first `count` proposals of an image, as they were dumped: best first."""
    columns = dumped.of(row)
    boxes, scores = columns["boxes_xyxy"][:count], columns["scores"][:count]
    return np.concatenate([boxes, scores[:, None]], axis=1).astype(np.float32)


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "proposals", "roi")


STAGE = Stage(name="lvis_raw", version=1, reads=("data", "roi", "lvis_raw"), run=run, inputs=inputs)
