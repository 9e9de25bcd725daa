"""Stage `proposals`: boxes and scores for every image, in shards, with their recall.

They are the trained network's, or those of others (`given_proposals`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from unidet.config.study import Config
from unidet.evaluation.recall import recall_metrics
from unidet.formats.ground_truth import read_ground_truth
from unidet.ops.numpy_boxes import xyxy_to_xywh
from unidet.pipelines.engine.shards import Columns, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job, Sharding, Stage
from unidet.pipelines.proposers.proposer import code_of, open_proposer
from unidet.pipelines.wiring import given_proposals
from unidet.pipelines.wiring.datasets import Datasets, ImageSet, test_transform
from unidet.records import Detections, GroundTruth, Split

Propose = Callable[[ImageSet, Sequence[int]], Iterator[Columns]]


def run(job: Job) -> None:
    datasets = Datasets(job.inputs["data"], job.config.data)
    for shards in plan(job):
        shards.gather(job.work, job.out)
    metrics = {}
    for image_set in _training(job):
        metrics[f"training/{image_set.name}"] = recall_of(
            _ground_truth(image_set.split),
            image_set.split.image_ids,
            Sharded(job.out / "training" / image_set.name),
        )
    for judged in datasets.judged():
        dumped = Sharded(job.out / "images" / judged.image_set)
        truth = read_ground_truth(judged.ground_truth)
        metrics[judged.name] = recall_of(truth, judged.split.image_ids, dumped, judged.rows)
    main = datasets.judged()[0].name
    written = {**metrics[main], **{f"{name}": values for name, values in metrics.items()}}
    (job.out / "metrics.json").write_text(json.dumps(written, indent=1))


def plan(job: Job) -> list[ShardSet]:
    return [shards for shards, _ in _parts(job)]


def fill(job: Job) -> None:
    propose = _given(job) if job.config.proposals.files else _proposer(job)
    for shards, image_set in _parts(job):
        progress = job.progress(f"proposals {image_set.name}")
        shards.fill(job.work, partial(propose, image_set), progress)
        progress.close()


def _parts(job: Job) -> list[tuple[ShardSet, ImageSet]]:
    datasets = Datasets(job.inputs["data"], job.config.data)
    per_shard = job.config.proposals.images_per_shard
    kinds = (("training", _training(job)), ("images", datasets.image_sets()))
    return [
        (ShardSet(f"{kind}/{image_set.name}", len(image_set.split), per_shard), image_set)
        for kind, sets in kinds
        for image_set in sets
    ]


def _training(job: Job) -> list[ImageSet]:
    """The training datasets that a RoI head will be trained on."""
    wanted = job.config.proposals.training
    return Datasets(job.inputs["data"], job.config.data).training() if wanted else []


def _given(job: Job) -> Propose:
    judged = Datasets(job.inputs["data"], job.config.data).judged()
    files = given_proposals.starting_files(job.config)
    keep = job.config.proposals.keep
    return given_proposals.GivenProposals(_training(job), judged, files, keep)


def _proposer(job: Job) -> Propose:
    """Runs the trained network over rows of an image set, lazily."""
    job.bring_up()
    from unidet.data.loader import evaluation_batches
    from unidet.training.inference import as_images

    network = open_proposer(job.config.rpn, job.inputs["rpn"])
    transform = test_transform(job.config.rpn.images)
    keep = job.config.proposals.keep

    def propose(image_set: ImageSet, rows: Sequence[int]) -> Iterator[Columns]:
        size = job.config.proposals.batch_size
        for batch in evaluation_batches(image_set.images, image_set.split, rows, transform, size):
            found = network.propose(as_images(batch), batch.sizes_N2)
            for boxes, scale in zip(found, batch.scales_N4, strict=True):
                yield {"boxes_xyxy": boxes[:keep, :4] / scale, "scores": boxes[:keep, 4]}

    return propose


def recall_of(
    truth: GroundTruth, image_ids: np.ndarray, dumped: Sharded, rows: np.ndarray | None = None
) -> dict[str, float]:
    """Class-agnostic recall; `rows` are the dumped rows of the images with `image_ids`."""
    found = [dumped.of(int(row)) for row in (range(len(image_ids)) if rows is None else rows)]
    boxes = xyxy_to_xywh(np.concatenate([part["boxes_xyxy"] for part in found]).astype(np.float64))
    counts = [len(part["scores"]) for part in found]
    return recall_metrics(
        truth,
        Detections(
            image_ids=np.repeat(image_ids, counts),
            category_ids=np.zeros(sum(counts), np.int64),
            boxes_xywh=boxes,
            scores=np.concatenate([part["scores"] for part in found]),
        ),
    )


def _ground_truth(split: Split) -> GroundTruth:
    """A training split as the evaluator sees it; areas are the boxes'."""
    boxes = xyxy_to_xywh(split.boxes_xyxy.astype(np.float64))
    order = np.argsort(split.image_ids, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return GroundTruth(
        source=split.name,
        image_ids=split.image_ids[order],
        category_ids=np.array([category.id for category in split.categories], np.int64),
        category_names=tuple(category.name for category in split.categories),
        frequencies=tuple(category.frequency for category in split.categories),
        novel=None,
        annotation_ids=np.arange(1, len(boxes) + 1),
        image_rows=place[split.box_image].astype(np.int32),
        category_rows=split.labels,
        boxes_xywh=boxes,
        areas=boxes[:, 2] * boxes[:, 3],
        is_crowd=split.is_crowd,
        is_ignored=np.zeros(len(boxes), bool),
        negatives=None,
        not_exhaustive=None,
    )


def inputs(config: Config) -> tuple[str, ...]:
    return ("data",) if config.proposals.files else ("data", "rpn")


def code(config: Config) -> tuple[str, ...]:
    return () if config.proposals.files else code_of(config.rpn)


def summary(folder: Path) -> str:
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = [f"{'proposals':<28}{'AR@10':>8}{'AR@100':>8}{'AR@300':>8}{'R50@300':>9}"]
    for name, values in metrics.items():
        if isinstance(values, dict):
            numbers = [values[key] for key in ("AR@10", "AR@100", "AR@300", "R50@300")]
            rows.append(
                f"{name:<28}" + "".join(f"{v:>8.3f}" for v in numbers[:3]) + f"{numbers[3]:>9.3f}"
            )
    return "\n".join(rows)


STAGE = Stage(
    name="proposals",
    version=1,
    reads=("data", "rpn", "proposals"),
    run=run,
    inputs=inputs,
    files=given_proposals.starting_files,
    code=code,
    summary=summary,
    sharding=Sharding(plan, fill, processes=lambda config: config.proposals.processes),
)
