"""Stage `lvis_eval`: detections, metrics and plots of an evaluation set; numpy only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unidet.config.stages import CalibrationConfig
from unidet.config.study import Config
from unidet.console.terminal import say
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.image_sets import open_image_set
from unidet.pipelines.wiring.metrics_table import lvis_table, read_metrics
from unidet.pipelines.wiring.novelty import novelty
from unidet.pipelines.wiring.odd_detections import tell_oddities
from unidet.pipelines.wiring.per_category import save_per_category
from unidet.pipelines.wiring.region_scoring import (
    regions_of,
    scorings_of,
    suppression_of,
    text_classifier,
)
from unidet.pipelines.wiring.study_sets import (
    data_of,
    evaluation_sets,
    knows_text,
    training_vocabularies,
    why_no_text,
)


def run(job: Job) -> None:
    from unidet.evaluation.category_outcomes import calibration_error_metrics, outcome_columns
    from unidet.evaluation.coco import evaluate_coco
    from unidet.evaluation.controls import carried_by_controls, control_metrics
    from unidet.evaluation.detections import detect, detect_best_of_categories
    from unidet.evaluation.fixed_ap import fixed_ap_metrics
    from unidet.evaluation.lvis import evaluate_lvis
    from unidet.evaluation.outcomes import outcomes
    from unidet.evaluation.per_category import per_category_table
    from unidet.formats.ground_truth import read_ground_truth
    from unidet.formats.results import write_results

    data = open_image_set(job)
    truth = read_ground_truth(data.ground_truth)
    text = text_classifier(job, data)
    is_coco = job.settings["data"]["style"] == "coco"
    controls = [] if is_coco else carried_by_controls(len(text.category_ids))
    images, suppression = regions_of(job, data), suppression_of(job)
    scorings = scorings_of(job, data, text, [None, *controls])
    runs = detect(images, text, scorings, suppression)
    detections = next(runs)
    if not explain_silence(data.name, len(detections), job.config.calibration):
        tell_oddities(data.name, truth, detections, job.settings["data"]["style"])
    write_results(job.out / "detections.json", detections)
    novel = novelty(job, data.split.categories)
    evaluation = (evaluate_coco if is_coco else evaluate_lvis)(truth, detections, novel)
    found = outcomes(truth, detections, job.settings["data"]["style"])
    metrics = evaluation.metrics() | calibration_error_metrics(truth, found, novel)
    columns = outcome_columns(truth, detections, found)
    save_per_category(per_category_table(truth, evaluation, columns), job.out)
    if not is_coco:
        metrics |= control_metrics(
            [evaluate_lvis(truth, control).metrics()["AP"] for control in runs]
        )
        if count := job.config.lvis_eval.max_detections_per_category:
            # what no limit of an image has cut
            best = detect_best_of_categories(images, text, scorings[0], suppression, count)
            metrics |= fixed_ap_metrics(truth, best, novel, count)
    (job.out / "metrics.json").write_text(json.dumps(metrics, indent=1))


def explain_silence(name: str, detections: int, calibration: CalibrationConfig) -> bool:
    """Say why there are no detections if the official calibration left none; whether it did."""
    is_silent = calibration.compat == "official" and calibration.gamma > 0 and not detections
    if is_silent:
        say(
            f"{name}: no detections; as in the official code, a class without any uncalibrated "
            "detection removes those of all others; calibration.compat=default counts it once"
        )
    return is_silent


def nodes(config: Config) -> tuple[str, ...]:
    return tuple(evaluation_sets(config)) if knows_text(config) else ()


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    vocabulary = evaluation_sets(config)[name].vocabulary
    return {
        "data": data_of(name),
        "clip_embeddings": Input(Node("clip_embeddings", vocabulary)),
        "lvis_raw": Input(Node("lvis_raw", name)),
        **training_vocabularies(config),
    }


def settings(config: Config, name: str) -> dict[str, Any]:
    return {"data": {"style": evaluation_sets(config)[name].style}}


def summary(folders: Mapping[str, Path]) -> str:
    return lvis_table({name: read_metrics(folder) for name, folder in folders.items()})


STAGE = Stage(
    name="lvis_eval",
    version=2,
    reads=("calibration", "detection", "lvis_eval"),
    run=run,
    nodes=nodes,
    why_none=why_no_text,
    inputs=inputs,
    settings=settings,
    summary=summary,
    tensors=False,
)
