"""Stage `lvis_eval`: detections, metrics and plots from raw regions; numpy only."""

from __future__ import annotations

import json
from pathlib import Path

from unidet.config.stages import CalibrationConfig
from unidet.config.study import Config
from unidet.console.terminal import say
from unidet.evaluation.coco import coco_metrics
from unidet.evaluation.controls import text_controls
from unidet.evaluation.detections import TextClassifier, detect_calibrated
from unidet.evaluation.lvis import evaluate_lvis
from unidet.evaluation.per_category import per_category_table
from unidet.formats.ground_truth import read_ground_truth
from unidet.formats.results import write_results
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.datasets import Datasets, Judged
from unidet.pipelines.wiring.evaluation_inputs import JudgedRegions, suppression, text_classifier
from unidet.records import Detections, GroundTruth

TABLE = ("AP", "AP50", "AP75", "APr", "APc", "APf", "AP_base", "AP_novel", "AR@300")
MOST_BARS = 120


def run(job: Job) -> None:
    judged = Datasets(job.inputs["data"], job.config.data).judged()
    everything = {}
    for position, dataset in enumerate(judged):
        # The main dataset's files lie at the top, where scripts look for them.
        folder = job.out if position == 0 else job.out / dataset.name
        folder.mkdir(exist_ok=True)
        everything[dataset.name] = _judge(job, dataset, folder)
    (job.out / "datasets.json").write_text(json.dumps(everything, indent=1))


def _judge(job: Job, dataset: Judged, folder: Path) -> dict[str, float]:
    truth = read_ground_truth(dataset.ground_truth)
    detections = _detect(job, dataset, _text(job, dataset))
    explain_silence(dataset.name, len(detections), job.config.calibration)
    write_results(folder / "detections.json", detections)
    metrics = _metrics(truth, detections, dataset, folder)
    if dataset.style == "lvis":
        metrics |= text_controls(
            _text(job, dataset), lambda text: _average_precision(job, dataset, truth, text)
        )
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=1))
    return metrics


def _average_precision(
    job: Job, dataset: Judged, truth: GroundTruth, text: TextClassifier
) -> float:
    return evaluate_lvis(truth, _detect(job, dataset, text)).metrics()["AP"]


def _text(job: Job, dataset: Judged) -> TextClassifier:
    return text_classifier(job.inputs["lvis_raw"], job.inputs["clip_embeddings"], dataset)


def _detect(job: Job, dataset: Judged, text: TextClassifier) -> Detections:
    calibration = job.config.calibration
    return detect_calibrated(
        JudgedRegions(job.inputs["lvis_raw"], dataset),
        text,
        beta=calibration.beta,
        gamma=calibration.gamma,
        suppression=suppression(job.config.detection, job.config.calibration.compat),
        compat=calibration.compat,
    )


def explain_silence(name: str, detections: int, calibration: CalibrationConfig) -> None:
    """Says why there are no detections where the official calibration left none."""
    if calibration.compat == "official" and calibration.gamma and not detections:
        say(
            f"{name}: no detections; a class that none of the uncalibrated ones is of silences all "
            "others, as officially; calibration.compat=default counts it once"
        )


def _metrics(
    truth: GroundTruth, detections: Detections, dataset: Judged, folder: Path
) -> dict[str, float]:
    if dataset.style == "coco":
        return coco_metrics(truth, detections)
    novel = {category.id: bool(category.is_novel) for category in dataset.split.categories}
    evaluation = evaluate_lvis(truth, detections, novel)
    table = per_category_table(truth, evaluation)
    table.to_csv(folder / "per_category.csv", index=False)
    judged = table[table["instances"] > 0]
    if len(judged) <= MOST_BARS:
        from unidet.report.plots import category_bars

        category_bars(judged, folder / "per_category.png")
    return evaluation.metrics()


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "clip_embeddings", "lvis_raw")


def summary(folder: Path) -> str:
    """The datasets' metrics as a table that fits 80 columns."""
    datasets = json.loads((folder / "datasets.json").read_text())
    rows = [f"{'':<12}" + "".join(f"{name.removeprefix('AP_'):>7}" for name in TABLE)]
    for name, metrics in datasets.items():
        rows.append(f"{name:<12}" + "".join(_cell(metrics.get(key)) for key in TABLE))
    main = next(iter(datasets.values()))
    if "AP_shuffled_text" in main:
        rows.append(
            f"controls: AP with shuffled text {main['AP_shuffled_text']:.3f}, "
            f"with one text for every name {main['AP_equal_text']:.3f}"
        )
    return "\n".join(rows)


def _cell(value: float | None) -> str:
    return f"{'–':>7}" if value is None or value < 0 else f"{value:>7.3f}"


STAGE = Stage(
    name="lvis_eval",
    version=1,
    reads=("data", "calibration", "detection"),
    run=run,
    inputs=inputs,
    summary=summary,
    tensors=False,
)
