"""Stage `proposer_study`: what one proposal network finds, of which kind, and at what cost.

`unidet -m stage=proposer_study rpn=A,B,C` makes a table and a picture of several.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unidet.config.study import Config
from unidet.formats.ground_truth import read_ground_truth
from unidet.pipelines.engine.shards import Sharded
from unidet.pipelines.engine.stage import Comparison, Job, Stage
from unidet.pipelines.proposers.proposer import Proposer, code_of, open_proposer
from unidet.pipelines.stages.proposals import recall_of
from unidet.pipelines.wiring.datasets import Datasets, Judged, test_transform
from unidet.records import GroundTruth

if TYPE_CHECKING:
    import pandas as pd  # not at run time: every command would wait for it

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
METRICS = (
    *("AR@10", "AR@100", "AR@300", "AR@1000", "ARs@300", "ARm@300", "ARl@300", "R50@300"),
    *("AR_base@300", "AR_novel@300", "R50_base@300", "R50_novel@300", "ms", "parameters"),
)
TABLE = ("AR@10", "AR@100", "AR@300", "AR@1000", "AR_base@300", "AR_novel@300")


def run(job: Job) -> None:
    datasets = Datasets(job.inputs["data"], job.config.data)
    main = datasets.judged()[0]
    metrics = _recalls(main, Sharded(job.inputs["proposals"] / "images" / main.image_set))
    job.bring_up()
    network = open_proposer(job.config.rpn, job.inputs["rpn"])
    metrics["ms"] = _milliseconds(job, datasets, main, network)
    metrics["parameters"] = _parameters(network)
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def _recalls(dataset: Judged, dumped: Sharded) -> dict[str, float]:
    """Recall of all boxes, and of those of base and of novel categories where these are known."""
    truth = read_ground_truth(dataset.ground_truth)
    ids, rows = dataset.split.image_ids, dataset.rows
    metrics = recall_of(truth, ids, dumped, rows)
    novel = np.array([bool(category.is_novel) for category in dataset.split.categories])
    for name, chosen in (("base", ~novel), ("novel", novel)):
        found = recall_of(_only(truth, chosen), ids, dumped, rows)
        metrics |= {f"AR_{name}@300": found["AR@300"], f"R50_{name}@300": found["R50@300"]}
    return metrics


def _only(truth: GroundTruth, categories: np.ndarray) -> GroundTruth:
    """The annotations of the flagged categories."""
    kept = categories[truth.category_rows]
    columns = (
        *("annotation_ids", "image_rows", "category_rows"),
        *("boxes_xywh", "areas", "is_crowd", "is_ignored"),
    )
    return replace(truth, **{name: getattr(truth, name)[kept] for name in columns})


def _milliseconds(job: Job, datasets: Datasets, dataset: Judged, network: Proposer) -> float:
    """Median time of `propose` for one image, decoding and resizing left out."""
    from unidet.data.loader import evaluation_batches
    from unidet.training.inference import as_images

    images = next(one for one in datasets.image_sets() if one.name == dataset.image_set)
    rows = dataset.rows[: job.config.proposer_study.timed_images]
    transform = test_transform(job.config.rpn.images)
    seconds = []
    for batch in evaluation_batches(images.images, images.split, rows, transform, 1):
        # Twice: a size that is met for the first time is compiled for.
        for _ in range(2):
            start = time.perf_counter()
            network.propose(as_images(batch), batch.sizes_N2)
            elapsed = time.perf_counter() - start
        seconds.append(elapsed)
    return 1000 * float(np.median(seconds))


def _parameters(network: Any) -> int:
    """Weights that serve at inference; neither statistics nor what only training uses."""
    return sum(
        int(np.prod(var.shape))
        for name, var in network.named_parameters()
        if not name.startswith("aux_") and name.rsplit(".", 1)[-1] not in STATISTICS
    )


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "rpn", "proposals")


def summary(folder: Path) -> str:
    metrics = json.loads((folder / "metrics.json").read_text())
    rows = [f"{name:<16}{metrics[name]:>10.3f}" for name in TABLE]
    rows.append(f"{'ms an image':<16}{metrics['ms']:>10.1f}")
    rows.append(f"{'parameters':<16}{metrics['parameters']:>10,}")
    return "\n".join(rows)


def draw(table: pd.DataFrame, swept: Sequence[str], folder: Path) -> Path:
    """The picture of a sweep over proposers, beside its table."""
    from unidet.report.proposer_figure import draw_proposer_study

    names = [" ".join(map(str, row)) for row in table[list(swept)].to_numpy()]
    target = folder / "proposers.png"
    draw_proposer_study(table.assign(proposer=names), target)
    return target


STAGE = Stage(
    name="proposer_study",
    version=1,
    reads=("data", "rpn", "proposer_study"),
    run=run,
    inputs=inputs,
    code=lambda config: code_of(config.rpn),
    summary=summary,
    comparison=Comparison(METRICS, draw),
)
