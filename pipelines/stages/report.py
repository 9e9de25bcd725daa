"""Stage `report`: the whole study on one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.stages import calibration_sweep, lvis_eval, proposals
from unidet.pipelines.wiring.study_sets import all_sets, evaluation_sets, training_sets


def run(job: Job) -> None:
    # Plots and tables take half a second to import, which `status` need not spend.
    from unidet.pipelines.wiring.report_page import write_report

    write_report(job)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    """Raises UserError where there is nothing to report on."""
    if not evaluation_sets(config):
        raise UserError("data.evaluation: a report needs an evaluation set; there is none")
    nodes = [Node("data", entry) for entry in all_sets(config)]
    for stage in (proposals.STAGE, lvis_eval.STAGE, calibration_sweep.STAGE):
        nodes += [Node(stage.name, entry) for entry in stage.nodes(config)]
    nodes.append(Node("roi"))
    if not config.proposals.files:
        nodes.append(Node("rpn"))
    if config.clip.kind == "train":
        nodes.append(Node("clip"))
    return {str(node): Input(node) for node in nodes}


def settings(config: Config, name: str) -> dict[str, Any]:
    """The order of the sets, and how each is evaluated."""
    styles = [[entry, value.style] for entry, value in evaluation_sets(config).items()]
    return {"data": {"training": list(training_sets(config)), "evaluation": styles}}


def summary(folders: Mapping[str, Path]) -> str:
    (folder,) = folders.values()
    return (folder / "summary.txt").read_text() + f"report: {folder / 'report.html'}"


STAGE = Stage(
    name="report",
    version=2,
    reads=("report",),
    run=run,
    inputs=inputs,
    settings=settings,
    summary=summary,
    tensors=False,
)
