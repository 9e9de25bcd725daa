"""Stage `coco_eval`: COCO AP of a closed-set proposal network (`rpn.classes=dataset`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unidet.config.study import Config
from unidet.console.terminal import Progress
from unidet.errors import UserError
from unidet.evaluation.coco import coco_metrics
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import write_results
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.proposers.outputs import known_outputs
from unidet.pipelines.proposers.proposer import Detector, code_of, open_detector
from unidet.pipelines.wiring.closed_set import NO_CATEGORY, detect_batches
from unidet.pipelines.wiring.datasets import Datasets, Judged, test_transform
from unidet.records import Batch

Outputs = Sequence[dict[str, Any] | None]
"""Id and name of what each output of the network stands for, None for none."""
TABLE = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR@100")


def run(job: Job) -> None:
    known = known_outputs(job.inputs["rpn"])
    if not known:
        raise UserError(
            "coco_eval: the network knows no categories; train it on those of the first dataset: "
            "rpn.classes=dataset"
        )
    datasets = Datasets(job.inputs["data"], job.config.data)
    judged = _judged(datasets, known)
    job.bring_up()
    network = open_detector(job.config.rpn, job.inputs["rpn"])
    everything = {}
    for position, dataset in enumerate(judged):
        # The main dataset's files lie at the top, where scripts look for them.
        folder = job.out if position == 0 else job.out / dataset.name
        folder.mkdir(exist_ok=True)
        everything[dataset.name] = _judge(job, datasets, dataset, network, known, folder)
    (job.out / "datasets.json").write_text(json.dumps(everything, indent=1))


def _judged(datasets: Datasets, known: Outputs) -> list[Judged]:
    """The evaluation datasets in COCO style that judge categories of these names."""
    names = [category["name"] for category in known if category]
    styled = [one for one in datasets.judged() if one.style == "coco"]
    found = [one for one in styled if [c.name for c in one.split.categories] == names]
    if not found:
        raise UserError(
            f"coco_eval: no evaluation dataset of style coco has the network's {len(names)} "
            f"categories; of that style there are {', '.join(d.name for d in styled) or 'none'}"
        )
    return found


def _judge(
    job: Job,
    datasets: Datasets,
    dataset: Judged,
    network: Detector,
    known: Outputs,
    folder: Path,
) -> dict[str, float]:
    from unidet.data.loader import evaluation_batches

    images = next(one for one in datasets.image_sets() if one.name == dataset.image_set)
    size = job.config.proposals.batch_size
    transform = test_transform(job.config.rpn.images)
    batches = evaluation_batches(images.images, images.split, dataset.rows, transform, size)
    image_ids = np.zeros(len(images.split), np.int64)
    image_ids[dataset.rows] = dataset.split.image_ids
    numbers = [NO_CATEGORY if category is None else category["id"] for category in known]
    category_ids = np.array(numbers, np.int64)
    progress = job.progress(f"detecting {dataset.name}")
    shown = _shown(batches, progress, -(-len(dataset.rows) // size))
    detections = detect_batches(network.detect, shown, image_ids, category_ids)
    progress.close()
    write_results(folder / "detections.json", detections)
    metrics = coco_metrics(read_ground_truth(dataset.ground_truth), detections)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    return metrics


def _shown(batches: Iterable[Batch], progress: Progress, total: int) -> Iterator[Batch]:
    for done, batch in enumerate(batches):
        progress.update(done, total)
        yield batch


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "rpn")


def summary(folder: Path) -> str:
    datasets = json.loads((folder / "datasets.json").read_text())
    rows = [f"{'COCO':<16}" + "".join(f"{name:>8}" for name in TABLE)]
    for name, metrics in datasets.items():
        rows.append(f"{name:<16}" + "".join(f"{metrics[key]:>8.3f}" for key in TABLE))
    return "\n".join(rows)


STAGE = Stage(
    name="coco_eval",
    version=1,
    reads=("data", "rpn", "proposals"),
    run=run,
    inputs=inputs,
    code=lambda config: code_of(config.rpn),
    summary=summary,
)
