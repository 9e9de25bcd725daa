"""Stage `report`: the whole study on one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unidet.config.study import Config
from unidet.errors import UserError
from unidet.pipelines.engine.node import Input, Node
from unidet.pipelines.engine.stage import Job, Stage
from unidet.pipelines.stages import (
    calibration_sweep,
    coco_eval,
    finetune,
    finetune_eval,
    lvis_eval,
    proposals,
)
from unidet.pipelines.wiring.fine_tuning import fine_tuning
from unidet.pipelines.wiring.study_networks import naming, proposing_nodes
from unidet.pipelines.wiring.study_sets import (
    all_sets,
    evaluation_sets,
    knows_text,
    new_sets,
    training_sets,
)
from unidet.store.arrays import readable

OPEN_WORLD = (proposals, lvis_eval, calibration_sweep, finetune, finetune_eval)


def run(job: Job) -> None:
    # Plots and tables take half a second to import, which `status` need not spend.
    from unidet.pipelines.wiring.report_page import write_report

    write_report(job)


def inputs(config: Config, name: str) -> Mapping[str, Input]:
    """Raises UserError where there is nothing to report on."""
    if not evaluation_sets(config):
        raise UserError("data.evaluation: a report needs an evaluation set; there is none")
    fine_tuning(config)  # says first why there can be none
    nodes = [Node("data", entry) for entry in all_sets(config)]
    if not (knows_text(config) or is_closed_set(config)):
        raise UserError(f"report: {coco_eval.why_none(config)}")
    for stage in (coco_eval,) if is_closed_set(config) else OPEN_WORLD:
        nodes += [Node(stage.STAGE.name, entry) for entry in stage.nodes(config)]
    if is_closed_set(config):
        return {str(node): Input(node) for node in (*nodes, *proposing_nodes(config))}
    nodes.append(Node(naming(config)))
    if not config.proposals.files:
        nodes += proposing_nodes(config)
    if config.clip.kind == "train":
        nodes.append(Node("clip"))
    return {str(node): Input(node) for node in nodes}


def is_closed_set(config: Config) -> bool:
    """Whether the proposal network knows the names that every evaluation set asks for.

    Nothing is left then for the open-world part to tell, and the report does without it.
    """
    closed = coco_eval.nodes(config)
    return bool(closed) and set(closed) == set(evaluation_sets(config))


def settings(config: Config, name: str) -> dict[str, Any]:
    """The order of the sets, how each is evaluated, and the calibration that a sweep marks."""
    styles = [[entry, value.style] for entry, value in evaluation_sets(config).items()]
    values: dict[str, Any] = {
        "data": {"training": list(training_sets(config)), "evaluation": styles}
    }
    if new_sets(config):
        values["data"]["new"] = list(new_sets(config))
    if not is_closed_set(config):
        values["calibration"] = {
            "beta": config.calibration.beta,
            "gamma": config.calibration.gamma,
        }
    return values


def files(config: Config, name: str) -> dict[str, Path]:
    """The page's templates, which no module's code tells of."""
    from importlib.resources import files as resources

    return {"templates": Path(str(resources("unidet.report") / "templates"))}


def summary(folders: Mapping[str, Path]) -> str:
    (folder,) = folders.values()
    with readable(folder / "summary.txt"):
        return (folder / "summary.txt").read_text("utf-8").rstrip("\n")


STAGE = Stage(
    name="report",
    version=3,
    reads=("report",),
    run=run,
    inputs=inputs,
    settings=settings,
    files=files,
    summary=summary,
    deliver="unidet.pipelines.wiring.report_provenance",
    tensors=False,
)
