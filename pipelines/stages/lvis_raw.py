"""Stage `lvis_raw`: the network's pass over an evaluation set; everything after it is numpy.

Per RoI: refined box in original pixels, proposal score, unit region embedding.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.shards import SHARDS, Columns, Results, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job, Sharding, Stage
from unidet.pipelines.wiring.embedding_artefacts import CLASSIFIER
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set
from unidet.pipelines.wiring.naming import code_of, open_naming
from unidet.pipelines.wiring.per_image import (
    batch_by_batch,
    fill_shards,
    network_results,
    shards_of,
)
from unidet.pipelines.wiring.read_proposals import best_proposals
from unidet.pipelines.wiring.study_networks import (
    END_TO_END,
    ROI,
    input_of,
    naming,
    settings_of,
)
from unidet.pipelines.wiring.study_sets import (
    data_of,
    evaluation_sets,
    knows_text,
    why_no_text,
)

if TYPE_CHECKING:
    from unidet.records import Batch


def run(job: Job) -> None:
    plan(job).gather(job.work, job.out)
    shutil.copyfile(_network(job) / CLASSIFIER, job.out / CLASSIFIER)


def _network(job: Job) -> Path:
    """The artefact of the network that names regions."""
    return next(job.inputs[stage] for stage in (ROI, END_TO_END) if stage in job.inputs)


def plan(job: Job) -> ShardSet:
    return shards_of(job, job.config.lvis_raw.images_per_shard)


def fill(job: Job) -> None:
    data = open_image_set(job)
    dumped = Sharded(job.inputs["proposals"] / SHARDS)
    count = job.config.lvis_raw.proposals

    def digest_of(row: int) -> bytes:
        """Of the image and its proposals: other proposals make other regions."""
        hasher = hashlib.sha256(data.digest_of(row))
        hasher.update(best_proposals(dumped, row, count).tobytes())
        return hasher.digest()

    kinds = {
        "boxes_xyxy": ("float32", (4,)),
        "proposal_scores": ("float32", ()),
        "embeddings": (job.config.lvis_raw.precision, (None,)),
    }
    results = network_results(job, digest_of, kinds, lambda: _regions(job, data, dumped))
    fill_shards(job, plan(job), f"regions {data.name}", digest_of, results)


def _regions(job: Job, data: ImageSet, dumped: Sharded) -> Results:
    """The RoI network on the best proposals."""
    job.bring_up()
    from unidet.training.inference import as_images

    network, shown = open_naming(job)
    settings = job.config.lvis_raw

    def regions_of(batch: Batch) -> Iterator[tuple[int, Columns]]:
        assert batch.proposals is not None  # proposals_of gives every image its own
        regions = network.regions(as_images(batch), batch.sizes_N2, batch.proposals)
        images = zip(
            *(batch.image_rows.tolist(), regions, batch.proposals, batch.scales_N4), strict=True
        )
        for row, (boxes, embeddings), proposals, scale in images:
            yield (
                row,
                {
                    "boxes_xyxy": (boxes / scale).astype("float32"),
                    "proposal_scores": proposals[:, 4],
                    "embeddings": embeddings.astype(settings.precision),
                },
            )

    return batch_by_batch(
        data,
        shown,
        settings.batch_size,
        regions_of,
        proposals_of=lambda row: best_proposals(dumped, row, settings.proposals),
    )


def nodes(config: Config) -> tuple[str, ...]:
    return tuple(evaluation_sets(config)) if knows_text(config) else ()


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    return {
        "data": data_of(name),
        "proposals": Input(Node("proposals", name)),
        **input_of(naming(config)),
    }


def settings(config: Config, name: str) -> dict[str, Any]:
    return settings_of(config, naming(config))


STAGE = Stage(
    name="lvis_raw",
    version=2,
    reads=("lvis_raw",),
    run=run,
    nodes=nodes,
    why_none=why_no_text,
    inputs=inputs,
    settings=settings,
    code=code_of,
    per_image=("data", "proposals"),
    sharding=Sharding(plan, fill, processes=lambda config: config.lvis_raw.processes),
)
