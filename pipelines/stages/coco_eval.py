"""Stage `coco_eval`: COCO AP of a closed-set proposal network (`rpn.classes=dataset`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.shards import Results, Sharded, ShardSet
from unidet.pipelines.engine.stage import Job, Sharding, Stage
from unidet.pipelines.proposers.outputs import known_outputs
from unidet.pipelines.proposers.proposer import code_of, open_detector
from unidet.pipelines.wiring.closed_set import KINDS, detect_batch, detections_of, output_ids
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set, read_vocabulary
from unidet.pipelines.wiring.metrics_table import coco_table, read_metrics
from unidet.pipelines.wiring.odd_detections import tell_oddities
from unidet.pipelines.wiring.per_category import save_per_category
from unidet.pipelines.wiring.per_image import (
    batch_by_batch,
    fill_shards,
    network_results,
    shards_of,
)
from unidet.pipelines.wiring.study_networks import end_to_end
from unidet.pipelines.wiring.study_sets import (
    data_of,
    evaluation_sets,
    training_sets,
    why_untrained,
)


def run(job: Job) -> None:
    from unidet.evaluation.category_outcomes import calibration_error_metrics, outcome_columns
    from unidet.evaluation.coco import evaluate_coco
    from unidet.evaluation.outcomes import outcomes
    from unidet.evaluation.per_category import per_category_table
    from unidet.formats.ground_truth import read_ground_truth
    from unidet.formats.results import write_results

    data = open_image_set(job)
    dumped = Sharded(plan(job).gather(job.work, job.out))
    detections = detections_of(dumped, data.split.image_ids)
    write_results(job.out / "detections.json", detections)
    truth = read_ground_truth(data.ground_truth)
    tell_oddities(data.name, truth, detections, "coco")
    evaluation = evaluate_coco(truth, detections)
    found = outcomes(truth, detections, "coco")
    columns = outcome_columns(truth, detections, found)
    save_per_category(per_category_table(truth, evaluation, columns), job.out)
    metrics = evaluation.metrics() | calibration_error_metrics(truth, found)
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def plan(job: Job) -> ShardSet:
    return shards_of(job, job.config.proposals.images_per_shard)


def fill(job: Job) -> None:
    data = open_image_set(job)
    results = network_results(job, data.digest_of, KINDS, lambda: _detector(job, data))
    fill_shards(job, plan(job), f"detecting {data.name}", data.digest_of, results)


def _detector(job: Job, data: ImageSet) -> Results:
    """The closed-set network."""
    job.bring_up()
    network = open_detector(job.config.rpn, job.inputs["rpn"])
    category_ids = output_ids(known_outputs(job.inputs["rpn"]))
    return batch_by_batch(
        data,
        job.config.rpn.images,
        job.config.proposals.batch_size,
        lambda batch: detect_batch(network.detect, batch, category_ids),
    )


def nodes(config: Config) -> tuple[str, ...]:
    """The evaluation sets in COCO style with the label space that the network learns."""
    if config.rpn.classes == "agnostic" or config.proposals.merge or end_to_end(config):
        return ()
    if not training_sets(config):
        return ()
    learned = next(iter(training_sets(config).values())).vocabulary
    return tuple(
        name
        for name, entry in evaluation_sets(config).items()
        if entry.style == "coco" and entry.vocabulary == learned
    )


def why_none(config: Config) -> str:
    if config.proposals.merge:
        return "several networks propose together (proposals.merge); leave it out, with rpn=PAGE"
    if end_to_end(config):
        return "an end-to-end study knows names by their text; stage=lvis_eval evaluates it"
    if config.rpn.classes == "agnostic":
        return (
            "the network knows no categories; train it on those of the first training set: "
            "rpn.classes=dataset"
        )
    if not training_sets(config):
        why = why_untrained(config)
        return f"{why}; the first training set says what the network's outputs are"
    return (
        "no evaluation set of style coco has the vocabulary of the first training set, "
        f"{next(iter(training_sets(config).values())).vocabulary!r}"
    )


def check(config: Config, name: str, data: Mapping[Node, Path]) -> None:
    """The set's categories are those that the network learns, ids included."""
    first = next(iter(training_sets(config)))
    learned, evaluated = (
        [(category.id, category.name) for category in read_vocabulary(data[Node("data", entry)])]
        for entry in (first, name)
    )
    if evaluated != learned:
        raise UserError(
            f"coco_eval: {name} has other categories than {first} ({len(evaluated)} and "
            f"{len(learned)}, by id and name); the network learns those of {first}"
        )


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    return {"data": data_of(name), "rpn": Input(Node("rpn"))}


def summary(folders: Mapping[str, Path]) -> str:
    return coco_table({name: read_metrics(folder) for name, folder in folders.items()})


STAGE = Stage(
    name="coco_eval",
    version=2,
    reads=("rpn", "proposals"),
    run=run,
    nodes=nodes,
    why_none=why_none,
    inputs=inputs,
    code=lambda config: code_of(config.rpn),
    check=check,
    per_image=("data",),
    summary=summary,
    sharding=Sharding(plan, fill, processes=lambda config: config.proposals.processes),
)
