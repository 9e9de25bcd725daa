"""Stage `calibration_sweep`: LVIS metrics over β, γ and detections an image; numpy only.

On the toy world the setting is chosen on `dev` and reported on `val`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unidet.config.study import Config
from unidet.evaluation.calibration_grid import sweep
from unidet.formats.ground_truth import read_ground_truth
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.wiring.datasets import Datasets, Judged
from unidet.pipelines.wiring.evaluation_inputs import JudgedRegions, suppression, text_classifier

if TYPE_CHECKING:
    import pandas

COLUMNS = ("dataset", "beta", "gamma", "cap", "AP", "APr", "APc", "APf", "AP_base", "AP_novel")


def run(job: Job) -> None:
    import pandas

    from unidet.report.plots import calibration_curves

    datasets = [
        dataset
        for dataset in Datasets(job.inputs["data"], job.config.data).judged()
        if dataset.style == "lvis"
    ]
    progress = job.progress("calibration sweep")
    tables = []
    for done, dataset in enumerate(datasets, start=1):
        table = _sweep(job, dataset)
        calibration_curves(table, job.out / f"{dataset.name}.png", f"AP on {dataset.name}")
        tables.append(table.assign(dataset=dataset.name))
        progress.update(done, len(datasets))
    progress.close()
    pandas.concat(tables)[list(COLUMNS)].to_csv(job.out / "sweep.csv", index=False)


def _sweep(job: Job, dataset: Judged) -> pandas.DataFrame:
    raw, embeddings = job.inputs["lvis_raw"], job.inputs["clip_embeddings"]
    grid = job.config.calibration_sweep
    return sweep(
        JudgedRegions(raw, dataset),
        text_classifier(raw, embeddings, dataset),
        read_ground_truth(dataset.ground_truth),
        gammas=grid.gammas,
        betas=grid.betas,
        caps=grid.caps,
        suppression=suppression(job.config.detection, "default"),
        novel={category.id: bool(category.is_novel) for category in dataset.split.categories},
    )


def inputs(config: Config) -> tuple[str, ...]:
    return ("data", "clip_embeddings", "lvis_raw")


def summary(folder: Path) -> str:
    import pandas

    table = pandas.read_csv(folder / "sweep.csv")
    return table.to_string(index=False, float_format="{:.3f}".format)


STAGE = Stage(
    name="calibration_sweep",
    version=1,
    reads=("data", "calibration_sweep", "detection"),
    run=run,
    inputs=inputs,
    summary=summary,
    tensors=False,
)
