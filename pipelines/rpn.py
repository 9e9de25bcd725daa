"""Stage `rpn`: trains the class-agnostic proposal network."""

from __future__ import annotations

from unidet.config import Config
from unidet.pipelines.datasets import Datasets, training_transform
from unidet.pipelines.stage import Job, Stage


def run(job: Job) -> None:
    job.bring_up()
    from unidet.data.loader import Loader, Source
    from unidet.pipelines.networks import build_cln, initialise_backbone, seeded
    from unidet.pipelines.training import train_and_keep

    config = job.config.rpn
    network = seeded(job.config.seed, lambda: build_cln(config.network))
    initialise_backbone(network.backbone, config.network, job.inputs)
    sources = [
        Source(data.split, data.images)
        for data in Datasets(job.inputs["data"], job.config.data).training()
    ]

    def batches_from(step: int) -> Loader:
        return Loader(
            sources,
            config.training.batch_size,
            config.training.steps,
            job.config.seed,
            training_transform(config.images),
            start_step=step,
            threads=config.training.loader_threads,
        )

    train_and_keep(job, "rpn", network, network.loss, batches_from, config.training)


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "clip") if config.rpn.network.initialise == "clip" else ("data",)


STAGE = Stage(name="rpn", version=1, reads=("data", "rpn", "seed"), run=run, inputs=inputs)
