"""Stage `rehearsal`: feature maps of some images of an old training set, by the RoI network's
backbone.

Fine-tuning uses these maps instead of the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring import classifier, fine_tuning
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.image_sets import open_image_set
from unidet.pipelines.wiring.stored_images import StoredImagesWriter
from unidet.pipelines.wiring.study_sets import data_of
from unidet.pipelines.wiring.training_proposals import training_proposals

BATCH = 4


def run(job: Job) -> None:
    import numpy as np

    job.bring_up()
    import jittor as jt

    from unidet.data.loader import evaluation_batches
    from unidet.data.sampler import trainable_rows
    from unidet.ops.blocked_maps import as_array
    from unidet.training.inference import as_images

    data = open_image_set(job)
    network = classifier.trained_classifier(job.config.roi.network, job.inputs["roi"])
    trainable = trainable_rows(data.split)
    rng = np.random.default_rng(job.config.seed)
    rows = np.sort(rng.permutation(trainable)[: job.settings["finetune"]["images"]])
    writer = StoredImagesWriter(job.out)
    progress = job.progress(f"rehearsal {data.name}")
    batches = evaluation_batches(
        data.images,
        data.split,
        rows,
        evaluation_transform(job.config.roi.images),
        BATCH,
        proposals_of=training_proposals(job, data),
    )
    for batch in batches:
        with jt.no_grad():
            maps = as_array(network.features(as_images(batch)))
        writer.add(batch, maps)
        progress.update(len(writer), len(rows))
    progress.close()
    writer.close()


def nodes(config: Config) -> tuple[str, ...]:
    return fine_tuning.rehearsed_sets(config)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    proposals = Node("proposals", name)
    return {
        "data": data_of(name),
        str(proposals): Input(proposals),
        "roi": Input(Node("roi")),
    }


def settings(config: Config, name: str) -> dict[str, Any]:
    return {"finetune": {"images": fine_tuning.settings_of(config).images}}


STAGE = Stage(
    name="rehearsal",
    version=1,
    reads=("roi", "seed"),
    run=run,
    nodes=nodes,
    why_none=fine_tuning.why_none,
    inputs=inputs,
    settings=settings,
    code=lambda config: classifier.code_of(config.roi.network),
)
