"""The study on one page: what stage `report` writes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.fine_tuning_table import fine_tuning_table
from unidet.pipelines.wiring.image_sets import open_image_set
from unidet.pipelines.wiring.metrics_table import coco_table, lvis_table, read_metrics
from unidet.pipelines.wiring.report_figures import (
    data_figures,
    detection_recall,
    fine_tuned,
    input_digests,
    proposal_recalls,
    sweeps,
    training_logs,
    with_groups,
)
from unidet.pipelines.wiring.report_galleries import galleries, proposal_pictures
from unidet.pipelines.wiring.report_sets import artefacts, reported_sets
from unidet.report.figures import figures_of
from unidet.report.gallery import Gallery, Named
from unidet.report.html.study_page import study_page
from unidet.report.study import FIGURES, PAGE, EvaluatedSet, Recall, Study, save_study

SUMMARY = "summary.txt"
TABLES = {"lvis_eval": lvis_table, "coco_eval": coco_table, "finetune_eval": fine_tuning_table}


def write_report(job: Job) -> None:
    """Leave the page, its figures, and the table that the command prints."""
    sets: list[EvaluatedSet] = []
    shown: dict[int, list[Gallery]] = {}
    recalls = {recall.name: recall for recall in proposal_recalls(job) if not recall.training}
    proposed: list[Named] = []
    count = len(job.settings["data"]["evaluation"])
    progress = job.progress("report")
    for place, reported in enumerate(reported_sets(job)):
        sets.append(figures_of(reported.evaluated))
        # Galleries are most of the page's bytes: the sets share what it may weigh.
        shown[place] = galleries(reported, -(-job.config.report.examples // count))
        name = reported.evaluated.name
        if name in recalls:
            recalls[name] = with_groups(recalls[name], job, reported)
            if place == 0:
                proposed = proposal_pictures(job, reported, job.config.report.examples // 2)
        else:
            recalls[name] = detection_recall(reported)
        progress.update(place + 1, count)
    progress.close()
    study = _study(job, sets, list(recalls.values()))
    save_study(study, job.out / FIGURES)
    (job.out / PAGE).write_text(study_page(study, shown, proposed), encoding="utf-8")
    # The study's table is what `stage=report` prints; it travels with the page.
    tables = []
    for stage, table in TABLES.items():
        metrics = {name: read_metrics(folder) for name, folder in artefacts(job, stage)}
        tables += [table(metrics)] if metrics else []
    (job.out / SUMMARY).write_text("\n".join([*tables, *trained_on(job)]) + "\n", "utf-8")


def trained_on(job: Job) -> Iterator[str]:
    """A note on each evaluation set with images, by content, that the study trains on."""
    order = job.settings["data"]
    trained = [_digests(job, name) for name in order["training"]]
    for name, _ in order["evaluation"]:
        own = _digests(job, name)
        is_shared = np.zeros(len(own), bool)
        for others in trained:
            is_shared |= np.isin(own, others)
        if shared := int(is_shared.sum()):
            yield (
                f"note: {shared} of the {len(own)} images of {name} are trained on, which flatters "
                "its metrics; unidet data check names them, and another data.training leaves "
                "them out"
            )


def _digests(job: Job, name: str) -> np.ndarray:
    """(N,) uint64: of each image's digest as much as tells images apart."""
    digests = open_image_set(job, str(Node("data", name))).digests
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]


def _study(job: Job, sets: list[EvaluatedSet], recalls: list[Recall]) -> Study:
    calibration = job.settings.get("calibration", {})
    return Study(
        beta=calibration.get("beta"),
        gamma=calibration.get("gamma"),
        sets=sets,
        recalls=[*recalls, *(recall for recall in proposal_recalls(job) if recall.training)],
        sweeps=list(sweeps(job)),
        training=list(training_logs(job)),
        data=list(data_figures(job)),
        inputs=input_digests(job),
        fine_tuned=list(fine_tuned(job)),
    )
