"""Figures of stage `report` beside the evaluation sets: proposals, sweeps, logs, data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from unidet.evaluation.recall import CAPS, recall_metrics
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.shards import SHARDS, Sharded
from unidet.pipelines.engine.stage import Job
from unidet.pipelines.wiring.fine_tuning_table import CALLED, GROUPS
from unidet.pipelines.wiring.image_sets import open_image_set
from unidet.pipelines.wiring.metrics_table import read_metrics
from unidet.pipelines.wiring.novelty import novelty
from unidet.pipelines.wiring.read_proposals import all_proposals
from unidet.pipelines.wiring.report_sets import ReportedSet, artefacts
from unidet.pipelines.wiring.stored_tables import read_table
from unidet.pipelines.wiring.study_sets import TRAINING
from unidet.records import UNDEFINED, Detections, GroundTruth
from unidet.report.study import DataFigures, FineTuned, Grid, Lines, Number, Recall, Sweep, Training

SIZES = {"all": "", "small": "s", "medium": "m", "large": "l"}
POINTS = 240  # of a training log, as many as its chart can show
SMOOTHED = 25  # part of a log over which it is averaged


# --- recall ------------------------------------------------------------------------------------


def proposal_recalls(job: Job) -> Iterator[Recall]:
    """Of every set that has proposals, as stage `proposals` measured them."""
    for name, folder in artefacts(job, "proposals"):
        metrics = read_metrics(folder)
        yield Recall(
            name=name.removeprefix(TRAINING),
            training=name.startswith(TRAINING),
            numbers=list(CAPS),
            lines=_by_size(metrics),
            groups={},
        )


def with_groups(recall: Recall, job: Job, reported: ReportedSet) -> Recall:
    """The recall with that of base and novel categories beside it, where there are both."""
    dumped = Sharded(job.inputs[str(Node("proposals", recall.name))] / SHARDS)
    proposals = all_proposals(dumped, reported.data.split.image_ids)
    truth, novel = reported.evaluated.truth, reported.evaluated.novel
    flags = np.array([bool(novel and novel[int(number)]) for number in truth.category_ids])
    if flags.all() or not flags.any():
        return recall
    groups = {
        name: _by_size(recall_metrics(_only(truth, wanted), proposals))["all"]
        for name, wanted in (("base", ~flags), ("novel", flags))
    }
    return replace(recall, groups=groups)


def detection_recall(reported: ReportedSet) -> Recall:
    """Of a closed-set detector's detections, whatever they are called."""
    evaluated = reported.evaluated
    metrics = recall_metrics(evaluated.truth, _sorted(evaluated.detections))
    return Recall(evaluated.name, False, list(CAPS), _by_size(metrics), {})


def _sorted(detections: Detections) -> Detections:
    return detections.take(np.lexsort((-detections.scores, detections.image_ids)))


def _by_size(metrics: dict[str, float]) -> Lines:
    lines = {
        name: [_number(metrics[f"AR{letter}@{cap}"]) for cap in CAPS]
        for name, letter in SIZES.items()
    }
    return {name: values for name, values in lines.items() if values[0] is not None}


def _only(truth: GroundTruth, categories: np.ndarray) -> GroundTruth:
    """The annotations of the flagged categories."""
    kept = categories[truth.category_rows]
    columns = (
        *("annotation_ids", "image_rows", "category_rows"),
        *("boxes_xywh", "areas", "is_crowd", "is_ignored"),
    )
    return replace(truth, **{name: getattr(truth, name)[kept] for name in columns})


# --- calibration, training, data ---------------------------------------------------------------


def sweeps(job: Job) -> Iterator[Sweep]:
    for name, folder in artefacts(job, "calibration_sweep"):
        yield read_table(folder / "sweep.csv", partial(_sweep, name))


def _sweep(name: str, table: pd.DataFrame) -> Sweep:
    betas, gammas = (sorted(table[key].unique().tolist()) for key in ("beta", "gamma"))
    grids = []
    for cap, rows in table.groupby("cap"):
        values = rows.set_index(["beta", "gamma"])["AP"]
        grid = [[_number(values[(beta, gamma)]) for gamma in gammas] for beta in betas]
        grids.append(Grid(int(cap), grid))
    return Sweep(name, betas, gammas, grids)


def training_logs(job: Job) -> Iterator[Training]:
    """Of the networks that were trained here."""
    for stage in ("clip", "rpn", "roi", "end2end", "finetune"):
        for name, folder in artefacts(job, stage):
            if (folder / "log.csv").exists():
                label = str(Node(stage, name))
                yield read_table(folder / "log.csv", partial(training_log, label))


def fine_tuned(job: Job) -> Iterator[FineTuned]:
    """Of every evaluation set, what each network reaches on new, old and other names."""
    folders = dict(artefacts(job, "finetune_eval"))
    for evaluated, _ in job.settings["data"]["evaluation"]:
        for network, called in CALLED.items():
            folder = folders.get(f"{network}/{evaluated}")
            if folder is None:
                continue
            metrics = read_metrics(folder)
            yield FineTuned(
                name=evaluated,
                network=called,
                names={group: int(metrics[f"names_{group}"]) for group in GROUPS},
                AP={group: _number(metrics[f"AP_{group}"]) for group in GROUPS},
            )


def training_log(stage: str, log: pd.DataFrame) -> Training:
    """A log averaged over a part of it, at no more steps than can be shown."""
    window = max(1, len(log) // SMOOTHED)
    smooth = log.rolling(window, min_periods=1).mean()
    rows = np.unique(np.linspace(0, len(log) - 1, min(POINTS, len(log))).round().astype(int))
    names = [name for name in log.columns if name == "loss" or name.startswith("loss_")]
    return Training(
        stage=stage,
        steps=log["step"].iloc[rows].astype(int).tolist(),
        losses={name: _numbers(smooth[name].iloc[rows]) for name in names},
        rate=_numbers(log["lr"].iloc[rows]) if "lr" in log else [],
    )


def data_figures(job: Job) -> Iterator[DataFigures]:
    order = job.settings["data"]
    uses = [(name, "training") for name in order["training"]]
    uses += [(name, "fine-tuning") for name in order.get("new", [])]
    uses += [(name, f"evaluation ({style.upper()} AP)") for name, style in order["evaluation"]]
    for name, use in uses:
        data = open_image_set(job, str(Node("data", name)))
        novel = None
        if use.startswith("evaluation"):
            novel = novelty(job, data.split.categories)
        yield DataFigures(
            name=data.name,
            use=use,
            images=len(data.split),
            boxes=len(data.split.boxes_xyxy),
            categories=len(data.split.categories),
            novel=None if novel is None else sum(novel.values()),
        )


def _numbers(values: Sequence[float]) -> list[Number]:
    return [_number(float(f"{value:.6g}")) for value in values]


def _number(value: float) -> Number:
    """None where it is undefined, missing or not finite."""
    value = float(value)
    return value if np.isfinite(value) and value != UNDEFINED else None


def input_digests(job: Job) -> dict[str, str]:
    """Text of a node -> the digits by which its artefact is found: the end of its folder's name."""
    return {label: Path(folder).name.rpartition("-")[2] for label, folder in job.inputs.items()}
