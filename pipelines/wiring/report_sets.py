"""The evaluation sets as stage `report` reads them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import read_detections
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.image_sets import ImageSet, open_image_set
from unidet.pipelines.wiring.metrics_table import read_metrics
from unidet.pipelines.wiring.novelty import novelty
from unidet.pipelines.wiring.per_category import TABLE
from unidet.pipelines.wiring.stored_tables import read_table
from unidet.report.figures import Evaluated
from unidet.store.arrays import malformed


@dataclass(frozen=True)
class ReportedSet:
    """An evaluation set with its images and detections."""

    data: ImageSet
    evaluated: Evaluated

    @property
    def rows(self) -> np.ndarray:
        """(N,) row of each image in the set's index, in the order of the ground truth."""
        order = np.argsort(self.data.split.image_ids)
        places = np.searchsorted(self.data.split.image_ids[order], self.evaluated.truth.image_ids)
        return order[places]


def artefacts(job: Job, stage: str) -> Iterator[tuple[str, Path]]:
    """Name and folder of every artefact of a stage, evaluation sets in the study's order."""
    for label, folder in job.inputs.items():
        node = Node.parse(label)
        if node is not None and node.stage == stage:
            yield node.name, folder


def reported_sets(job: Job) -> Iterator[ReportedSet]:
    """One after another, the main one first; each may be large."""
    styles = dict(job.settings["data"]["evaluation"])
    for stage in ("lvis_eval", "coco_eval"):
        for name, folder in artefacts(job, stage):
            yield _reported(job, name, styles[name], folder, closed=stage == "coco_eval")


def _reported(job: Job, name: str, style: str, folder: Path, *, closed: bool) -> ReportedSet:
    data = open_image_set(job, str(Node("data", name)))
    truth = read_ground_truth(data.ground_truth)
    detections = read_detections(
        folder / "detections.json", truth.image_ids, truth.category_ids, truth.source
    )
    novel = None if closed else novelty(job, data.split.categories)
    types = dict.fromkeys(("AP", "AP50", "AR"), float)
    table = read_table(folder / TABLE, lambda table: table.astype(types))
    if len(table) != len(truth.category_ids):
        malformed(folder / TABLE, f"{len(table)} rows for {len(truth.category_ids)} categories")
    metrics = read_metrics(folder)
    evaluated = Evaluated(name, style, closed, truth, detections, novel, metrics, table)  # type: ignore[arg-type]
    return ReportedSet(data, evaluated)
