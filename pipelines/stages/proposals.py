"""Stage `proposals`: boxes and scores for every image of a dataset, in shards, and their recall.

They come from the trained network, from several together (`merged_proposals`), or from files
(`external_proposals`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.shards import Columns, Results, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job, Sharding, Stage
from unidet.pipelines.wiring import external_proposals, merged_proposals
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set
from unidet.pipelines.wiring.metrics_table import read_metrics, recall_table
from unidet.pipelines.wiring.per_image import (
    batch_by_batch,
    fill_shards,
    network_results,
    shards_of,
)
from unidet.pipelines.wiring.proposing import code_of, open_proposing
from unidet.pipelines.wiring.read_proposals import proposals_in_parts
from unidet.pipelines.wiring.study_networks import (
    end_to_end,
    input_of,
    proposing,
    settings_of,
)
from unidet.pipelines.wiring.study_sets import (
    TRAINING,
    data_of,
    evaluation_sets,
    knows_text,
    new_sets,
    of_network,
    set_and_network,
    study_of_network,
    training_sets,
)

if TYPE_CHECKING:
    import numpy as np

    from unidet.records import Batch, GroundTruth, Split


KINDS = {"boxes_xyxy": ("float32", (4,)), "scores": ("float32", ())}


def run(job: Job) -> None:
    from unidet.formats.ground_truth import read_ground_truth

    dumped = Sharded(plan(job).gather(job.work, job.out))
    data = open_image_set(job)
    truth = (
        _ground_truth(data.split)
        if job.name.startswith(TRAINING)
        else read_ground_truth(data.ground_truth)
    )
    metrics = recall_of(truth, data.split.image_ids, dumped)
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def plan(job: Job) -> ShardSet:
    return shards_of(job, job.config.proposals.images_per_shard)


def fill(job: Job) -> None:
    data = open_image_set(job)
    if job.config.proposals.merge:
        results = merged_proposals.merged_results(job)
    elif job.files:
        results = external_proposals.given_results(job.files, data, job.config.proposals.keep)
    else:
        results = network_results(job, data.digest_of, KINDS, lambda: _proposer(job, data))
    fill_shards(job, plan(job), f"proposals {data.name}", data.digest_of, results)


def _proposer(job: Job, data: ImageSet) -> Results:
    """The trained network."""
    job.bring_up()
    from unidet.training.inference import as_images

    network, shown = open_proposing(job)
    settings = job.config.proposals

    def propose(batch: Batch) -> Iterator[tuple[int, Columns]]:
        proposals = network.propose(as_images(batch), batch.sizes_N2)
        images = zip(batch.image_rows.tolist(), proposals, batch.scales_N4, strict=True)
        for row, boxes_P5, scale in images:
            best = boxes_P5[: settings.keep]
            yield row, {"boxes_xyxy": best[:, :4] / scale, "scores": best[:, 4]}

    return batch_by_batch(data, shown, settings.batch_size, propose)


def recall_of(truth: GroundTruth, image_ids: np.ndarray, dumped: Sharded) -> dict[str, float]:
    """Class-agnostic recall of the dumped proposals of all images, in the order of `image_ids`."""
    from unidet.evaluation.recall import recall_of_parts

    return recall_of_parts(truth, proposals_in_parts(dumped, image_ids))


def _ground_truth(split: Split) -> GroundTruth:
    """A training split as the evaluator sees it; areas are the boxes'."""
    import numpy as np

    from unidet.ops.numpy_boxes import xyxy_to_xywh
    from unidet.records import GroundTruth

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


def nodes(config: Config) -> tuple[str, ...]:
    """Evaluation sets, and training sets where a RoI head will be trained on them.

    Then those of every network, where several propose together.
    """
    sets = list(evaluation_sets(config))
    if knows_text(config):
        has_head = config.proposals.training and not end_to_end(config)
        sets += [*(training_sets(config) if has_head else ()), *new_sets(config)]
    networks = config.proposals.merge
    return (*sets, *(of_network(name, network) for network in networks for name in sets))


def view(config: Config, name: str) -> Config:
    """Of one network, its study alone; of all, nothing of a network that is not among them."""
    network = set_and_network(name)[1]
    if config.proposals.merge and not network:
        return replace(config, rpn=config.proposers[config.proposals.merge[0]])
    return study_of_network(config, network)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    data_set, network = set_and_network(name)
    data = {"data": data_of(data_set)}
    if config.proposals.files:
        return data
    if config.proposals.merge:
        return {**data, **merged_proposals.parts(config, name)}
    return data | input_of(proposing(config), network)


def settings(config: Config, name: str) -> dict[str, Any]:
    merging = merged_proposals.settings(config) if config.proposals.merge else {}
    return settings_of(config, proposing(config)) | merging


def code(config: Config) -> tuple[str, ...]:
    """The network's, where it is a network that proposes here."""
    return () if config.proposals.files or config.proposals.merge else code_of(config)


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    for path in external_proposals.starting_files(config, name).values():
        external_proposals.check_file(path, data[Node("data", name)])


def summary(folders: Mapping[str, Path]) -> str:
    return recall_table({name: read_metrics(folder) for name, folder in folders.items()})


STAGE = Stage(
    name="proposals",
    version=2,
    reads=("proposals",),
    run=run,
    nodes=nodes,
    view=view,
    inputs=inputs,
    settings=settings,
    files=external_proposals.starting_files,
    code=code,
    per_image=("data",),
    check=check,
    summary=summary,
    sharding=Sharding(plan, fill, processes=lambda config: config.proposals.processes),
)
