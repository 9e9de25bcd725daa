"""Stage `calibration_sweep`: LVIS metrics of a set over β, γ and max detections per image.

It runs in numpy alone. On the toy world the setting is chosen on `dev` and reported on `val`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unidet.config.study import Config
from unidet.pipelines.engine.node import Input
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.stages import lvis_eval
from unidet.pipelines.wiring.image_sets import open_image_set
from unidet.pipelines.wiring.novelty import novelty
from unidet.pipelines.wiring.region_scoring import regions_of, suppression, text_classifier
from unidet.pipelines.wiring.stored_tables import read_table
from unidet.pipelines.wiring.study_sets import evaluation_sets, knows_text, why_no_text

COLUMNS = ("beta", "gamma", "cap", "AP", "APr", "APc", "APf", "AP_base", "AP_novel")
TABLE, PLOT = "sweep.csv", "sweep.png"


def run(job: Job) -> None:
    from unidet.evaluation.calibration_grid import sweep
    from unidet.formats.ground_truth import read_ground_truth
    from unidet.report.plots import calibration_curves

    data = open_image_set(job)
    grid, compat = job.config.calibration_sweep, job.settings["calibration"]["compat"]
    table = sweep(
        regions_of(job, data),
        text_classifier(job, data),
        read_ground_truth(data.ground_truth),
        gammas=grid.gammas,
        betas=grid.betas,
        caps=grid.caps,
        suppression=suppression(job.config.detection, compat),
        compat=compat,
        novel=novelty(job, data.split.categories),
    )
    calibration_curves(table, job.out / PLOT, "AP")
    table[[name for name in COLUMNS if name in table]].to_csv(job.out / TABLE, index=False)


def nodes(config: Config) -> tuple[str, ...]:
    """The evaluation sets in LVIS style."""
    sets = evaluation_sets(config)
    return tuple(name for name in lvis_eval.nodes(config) if sets[name].style == "lvis")


def why_none(config: Config) -> str:
    return "no evaluation set is in LVIS style" if knows_text(config) else why_no_text(config)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    return lvis_eval.inputs(config, name)


def settings(config: Config, name: str) -> dict[str, Any]:
    """Of `calibration` nothing else matters here."""
    return {"calibration": {"compat": config.calibration.compat}}


def summary(folders: Mapping[str, Path]) -> str:
    import pandas

    tables = {
        name: read_table(folder / TABLE, lambda table: table) for name, folder in folders.items()
    }
    joined = pandas.concat(tables, names=["dataset"]).reset_index("dataset")
    return joined.to_string(index=False, float_format="{:.3f}".format)


STAGE = Stage(
    name="calibration_sweep",
    version=2,
    reads=("calibration_sweep", "detection"),
    run=run,
    nodes=nodes,
    inputs=inputs,
    settings=settings,
    why_none=why_none,
    summary=summary,
    tensors=False,
)
