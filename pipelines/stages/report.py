"""Stage `report`: the whole study on one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path

from unidet.config.study import Config
from unidet.pipelines.engine.stage import Job, Stage


def run(job: Job) -> None:
    # Plots and tables take half a second to import, which `status` need not spend.
    from unidet.pipelines.wiring.report_page import write_report

    write_report(job)


def inputs(config: Config) -> tuple[str, ...]:
    base = ("data", "proposals", "roi", "lvis_eval", "calibration_sweep")
    proposer = () if config.proposals.files else ("rpn",)
    return (*base, *proposer, "clip") if config.clip.kind == "train" else (*base, *proposer)


def summary(folder: Path) -> str:
    return (folder / "summary.txt").read_text() + f"report: {folder / 'report.html'}"


STAGE = Stage(
    name="report",
    version=1,
    reads=("data", "report"),
    run=run,
    inputs=inputs,
    summary=summary,
    tensors=False,
)
