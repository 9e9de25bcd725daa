"""Stage `proposer_study`: recall of a proposal network by kind of object, and its cost.

`unidet -m stage=proposer_study rpn=A,B,C` makes a table and a figure of several. Of those that
propose together (`proposals.merge`) times and parameters are summed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unidet.config.images import ImageConfig
from unidet.config.study import Config
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.stage import Comparison, Job, Stage
from unidet.pipelines.proposers.proposer import Proposer
from unidet.pipelines.stages.proposals import recall_of
from unidet.pipelines.wiring.image_batches import evaluation_transform
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set
from unidet.pipelines.wiring.metrics_table import read_metrics
from unidet.pipelines.wiring.novelty import novelty
from unidet.pipelines.wiring.proposing import code_of, open_all_proposing
from unidet.pipelines.wiring.study_networks import proposing_nodes, proposing_settings
from unidet.pipelines.wiring.study_sets import data_of, evaluation_sets, training_vocabularies

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd  # not at run time: every command would wait for it

    from unidet.records import GroundTruth

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
METRICS = (
    *("AR@10", "AR@100", "AR@300", "AR@1000", "ARs@300", "ARm@300", "ARl@300", "R50@300"),
    *("AR_base@300", "AR_novel@300", "R50_base@300", "R50_novel@300", "ms", "parameters"),
)
TABLE = ("AR@10", "AR@100", "AR@300", "AR@1000", "AR_base@300", "AR_novel@300")


def run(job: Job) -> None:
    data = open_image_set(job)
    metrics = _recalls(job, data, Sharded(job.inputs["proposals"] / SHARDS))
    job.bring_up()
    metrics |= {"ms": 0.0, "parameters": 0}
    for network, images in open_all_proposing(job):
        metrics["ms"] += _milliseconds(job, data, images, network)
        metrics["parameters"] += _parameters(network)
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def _recalls(job: Job, data: ImageSet, dumped: Sharded) -> dict[str, float]:
    """Recall of all boxes, and of those of base and of novel categories."""
    import numpy as np

    from unidet.formats.ground_truth import read_ground_truth

    truth, ids = read_ground_truth(data.ground_truth), data.split.image_ids
    metrics = recall_of(truth, ids, dumped)
    by_id = novelty(job, data.split.categories)
    novel = np.array([by_id[category.id] for category in data.split.categories])
    for name, flags in (("base", ~novel), ("novel", novel)):
        recalls = recall_of(_only(truth, flags), ids, dumped)
        metrics |= {f"AR_{name}@300": recalls["AR@300"], f"R50_{name}@300": recalls["R50@300"]}
    return metrics


def _only(truth: GroundTruth, categories: np.ndarray) -> GroundTruth:
    """The annotations of the flagged categories."""
    kept = categories[truth.category_rows]
    columns = (
        *("annotation_ids", "image_rows", "category_rows"),
        *("boxes_xywh", "areas", "is_crowd", "is_ignored"),
    )
    return replace(truth, **{name: getattr(truth, name)[kept] for name in columns})


def _milliseconds(job: Job, data: ImageSet, images: ImageConfig, network: Proposer) -> float:
    """Median time of `propose` for one image, decoding and resizing left out."""
    import numpy as np

    from unidet.data.loader import evaluation_batches
    from unidet.training.inference import as_images

    rows = range(len(data.split))[: job.config.proposer_study.timed_images]
    transform = evaluation_transform(images)
    seconds = []
    for batch in evaluation_batches(data.images, data.split, rows, transform, 1):
        # Twice: a size that is met for the first time is compiled for.
        for _ in range(2):
            start = time.perf_counter()
            network.propose(as_images(batch), batch.sizes_N2)
            elapsed = time.perf_counter() - start
        seconds.append(elapsed)
    return 1000 * float(np.median(seconds))


def _parameters(network: Any) -> int:
    """Weights that serve at inference; neither statistics nor what only training uses."""
    import numpy as np

    return sum(
        int(np.prod(var.shape))
        for name, var in network.named_parameters()
        if not name.startswith("aux_") and name.rsplit(".", 1)[-1] not in STATISTICS
    )


def nodes(config: Config) -> tuple[str, ...]:
    """The main evaluation set."""
    return tuple(evaluation_sets(config))[:1]


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    return {
        "data": data_of(name),
        "proposals": Input(Node("proposals", name)),
        **{str(node): Input(node) for node in proposing_nodes(config)},
        **training_vocabularies(config),
    }


def settings(config: Config, name: str) -> dict[str, Any]:
    return proposing_settings(config)


def summary(folders: Mapping[str, Path]) -> str:
    (folder,) = folders.values()
    metrics = read_metrics(folder)
    rows = [f"{name:<16}{metrics[name]:>10.3f}" for name in TABLE]
    rows.append(f"{'ms an image':<16}{metrics['ms']:>10.1f}")
    rows.append(f"{'parameters':<16}{metrics['parameters']:>10,}")
    return "\n".join(rows)


def draw(table: pd.DataFrame, swept: Sequence[str], folder: Path) -> Path:
    """The figure of a sweep over proposers, beside its table."""
    from unidet.report.proposer_figure import draw_proposer_study

    names = [" ".join(map(str, row)) for row in table[list(swept)].to_numpy()]
    target = folder / "proposers.png"
    draw_proposer_study(table.assign(proposer=names), target)
    return target


STAGE = Stage(
    name="proposer_study",
    version=2,
    reads=("proposer_study",),
    run=run,
    nodes=nodes,
    inputs=inputs,
    settings=settings,
    code=code_of,
    summary=summary,
    comparison=Comparison(METRICS, draw),
)
