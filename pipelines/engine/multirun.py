"""A sweep (`-m`): builds shared artefacts first, then runs every job, and prints one table.

A job is a `unidet` command of its own, so that none can take another down. What it reports lies in
the sweep's folder, `<store.root>/sweeps/<stage>-<digest>/`: one JSON file and one log a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import pandas as pd

from unidet.config.study import Config
from unidet.console.interrupt import EXIT_CODE, Interrupted, check
from unidet.console.terminal import say
from unidet.errors import UserError
from unidet.pipelines.engine.graph import stage_of, targets
from unidet.pipelines.engine.multirun_job import (
    LOCK,
    Outcome,
    hide_passwords,
    read_outcome,
    write_job,
    write_outcome,
)
from unidet.pipelines.engine.multirun_plan import Planned, waves
from unidet.pipelines.engine.node import Node
from unidet.pipelines.engine.states import built_folders, log_request
from unidet.redaction import redact_argument
from unidet.report.plots import metric_curves
from unidet.report.spreadsheet import write_csv
from unidet.store import lock
from unidet.store.disk import clear_errors, entries, make_folder, whole_file
from unidet.store.hashing import digest
from unidet.store.places import is_odd
from unidet.store.stored_json import read_numbers

SHOWN = ("AP", "AP50", "APr", "APc", "APf", "AP_base", "AP_novel", "AR@300", "AR@100", "R50@300")
GAMMA = "calibration.gamma"
Launch = Callable[[Path, Sequence[str]], None]
"""Runs the jobs of these names in this folder, somewhere and in any order."""


class Sweep:
    """The jobs of one sweep; a failing job does not affect the others.

    Args:
        jobs: the overrides of every job.
        swept: keys that differ between jobs, the table's first columns.
        compose: overrides to configuration.
    """

    def __init__(
        self,
        jobs: Sequence[Sequence[str]],
        swept: Sequence[str],
        compose: Callable[[Sequence[str]], Config],
    ) -> None:
        self._swept = list(swept)
        self._labels: list[str] = []
        self._failures: dict[str, str] = {}
        self._jobs: list[Planned] = []
        for number, overrides in enumerate(jobs):
            shown = list(map(redact_argument, overrides))
            last = {item.split("=")[0]: item for item in shown}  # of a key given twice
            label = " ".join(item for key, item in last.items() if key in swept)
            self._labels.append(label or " ".join(shown))
            try:
                planned = Planned(f"{number:03d}", tuple(overrides), compose(overrides))
                _ = planned.recipes  # a missing file or folder shows here
            except UserError as error:
                self._fail(self._labels[number], str(error))
            else:
                self._jobs.append(planned)
        self.folder = self._folder()

    def run(self, launch: Launch) -> int:
        """Run all jobs, print one table; the exit status: 0, or 2 where a job failed.

        Raises:
            Interrupted: asked to stop; the same command resumes.
        """
        with self._alone() if self._jobs else nullcontext():
            broken: dict[str, str] = {}
            for wave in waves(self._jobs):
                ready = [job for job in wave if not self._is_hopeless(job, broken)]
                self._launch(ready, launch)
                for job in ready:
                    self._note(job, broken)
            return self._report()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock the folder for this process; another process with the same sweep waits."""
        path = self.folder / LOCK
        with clear_errors(Path(self._jobs[0].config.store.root)):
            make_folder(self.folder)
            held = lock.acquire(path, lambda owner: say(f"  this sweep: waits for {owner}"), check)
        try:
            with clear_errors(Path(self._jobs[0].config.store.root)):
                self._remove_links()
            yield
        finally:
            lock.release(held)

    def _remove_links(self) -> None:
        """Remove links, pipes and devices, to which files of the sweep would be written."""
        for path in entries(self.folder):
            if path.name != LOCK and is_odd(path):
                path.unlink(missing_ok=True)  # a job of a killed sweep may still rename files

    def _folder(self) -> Path:
        """The sweep's folder, the same for the same command: a rerun replaces its results."""
        if not self._jobs:
            return Path()
        config = self._jobs[0].config
        stage = targets(config.stage, config)[0].stage
        name = f"{stage}-{digest([job.overrides for job in self._jobs])[:8]}"
        return (Path(config.store.root) / "sweeps" / name).absolute()

    def _launch(self, jobs: list[Planned], launch: Launch) -> None:
        missing = []
        for job in jobs:
            built = built_folders(job.config.stage, job.config)
            if built is None:
                write_job(self.folder, job.name, self._label(job), job.overrides)
                missing.append(job.name)
            else:
                log_request(job.config.stage, job.config)
                write_outcome(self.folder, job.name, Outcome(0, str(built[job.main]), ""))
        if not missing:
            return
        try:
            launch(self.folder, missing)
        except UserError:
            raise
        except Exception as error:  # of the launcher: a worker died, a queue refused
            check()  # a terminal that closes ends workers too
            say(f"unidet: the launcher failed: {type(error).__name__}: {error}")
        finally:
            for name in missing:
                hide_passwords(self.folder, name)

    def _is_hopeless(self, job: Planned, broken: dict[str, str]) -> bool:
        """Whether something upstream has failed already, so that the job would fail, too."""
        for node, recipe in job.recipes.items():
            if recipe in broken:
                self._fail(self._label(job), f"{node} failed: {broken[recipe]}")
                return True
        return False

    def _note(self, job: Planned, broken: dict[str, str]) -> None:
        outcome = read_outcome(self.folder, job.name)
        if outcome.status == EXIT_CODE:
            raise Interrupted("the sweep was stopped; finished jobs are kept")
        if outcome.status != 0:
            broken |= {job.recipes[node]: outcome.said for node in job.nodes}
            if job.name.isdigit():
                self._fail(self._label(job), outcome.said)

    def _fail(self, label: str, reason: str) -> None:
        self._failures.setdefault(label, reason)

    def _label(self, job: Planned) -> str:
        if job.name.isdigit():
            return self._labels[int(job.name)]
        return f"{job.config.stage}, which several jobs need"

    # --- the report --------------------------------------------------------------------------

    def _report(self) -> int:
        done = [job for job in self._jobs if self._label(job) not in self._failures]
        if done:
            table = pd.DataFrame(
                [self._row(job, read_outcome(self.folder, job.name)) for job in done]
            )
            with whole_file(self.folder / "table.csv") as partial:
                write_csv(table, partial)
            values = table.drop(columns="artefact")
            written = pd.DataFrame([self._values(job) for job in done])
            values[written.columns] = written
            text = table["artefact"] if values.empty else blocks(values, self._swept)
            if self._shown != self._jobs[0].main:
                print(f"{self._shown}:")
            print("\n\n".join(text))
            print(self.folder / "table.csv")
            self._plot(table)
            self._note_no_effect(done)
        for label, reason in self._failures.items():
            say(f"failed: {label}: {reason}")
        return 2 if self._failures else 0

    def _row(self, job: Planned, outcome: Outcome) -> dict[str, float | str]:
        artefact = self._artefact(job, outcome)
        metrics = Path(artefact) / "metrics.json"
        values = read_numbers(metrics) if metrics.exists() else {}
        return {
            **{key: _number(value) for key, value in self._values(job).items()},
            **{name: values[name] for name in self._metrics() if name in values},
            "artefact": artefact,
        }

    def _values(self, job: Planned) -> dict[str, str]:
        """The swept values of a job, as given."""
        overrides = dict(item.split("=", 1) for item in job.overrides)
        return {key: redact_argument(overrides[key]) for key in self._swept}

    def _note_no_effect(self, jobs: list[Planned]) -> None:
        """Say that different values made the same artefact: it depends on none of them."""
        values = {tuple(map(_number, self._values(job).values())) for job in jobs}
        results = {(job.main, job.recipes.get(self._shown)) for job in jobs}
        if len(values) > 1 and len(results) == 1:
            say(
                f"note: {self._shown} depends on nothing that was swept "
                f"({', '.join(self._swept)}): all rows are of one artefact"
            )

    def _artefact(self, job: Planned, outcome: Outcome) -> str:
        """Folder of the artefact of a finished job that the table shows."""
        if self._shown == self._jobs[0].main:
            return outcome.artefact
        built = built_folders(str(self._shown), job.config)
        return str(built[self._shown]) if built else outcome.artefact

    @cached_property
    def _shown(self) -> Node:
        """The artefact whose metrics the table shows: the first one that differs from job to job.

        A sweep over a value of one evaluation set concerns that one, and leaves the main one as it
        is.
        """
        first, *others = self._jobs
        for node in first.nodes:
            recipes = [job.recipes[node] for job in others if node in job.nodes]
            if len(recipes) == len(others) and {*recipes} - {first.recipes[node]}:
                return node
        return first.main

    def _metrics(self) -> tuple[str, ...]:
        comparison = stage_of(self._jobs[0].main).comparison
        return SHOWN if comparison is None else comparison.metrics

    def _plot(self, table: pd.DataFrame) -> None:
        """As the stage says, or the first metric, AP if there is one, against a swept number, γ
        before others."""
        comparison = stage_of(self._jobs[0].main).comparison
        if comparison is not None:
            print(comparison.draw(table, self._swept, self.folder))
            return
        numeric = [key for key in self._swept if table[key].dtype.kind in "if"]
        metric = next((name for name in SHOWN if name in table), None)
        if not numeric or metric is None:
            return
        along = GAMMA if GAMMA in numeric else numeric[0]
        others = [key for key in self._swept if key != along]
        target = self.folder / f"{metric}_against_{along.rsplit('.', 1)[-1]}.png"
        with whole_file(target) as partial:
            metric_curves(table, along, metric, others, partial)
        print(target)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def blocks(table: pd.DataFrame, keys: Sequence[str], width: int = 80) -> Iterator[str]:
    """The table as text, in blocks of columns that fit a terminal, each beginning with those of
    `keys`.
    """

    def text(columns: Sequence[str]) -> str:
        return table[[*keys, *columns]].to_string(index=False, float_format="{:.3f}".format)

    block: list[str] = []
    for name in table.columns.drop(list(keys)):
        if block and len(text([*block, name]).partition("\n")[0]) > width:
            yield text(block)
            block = []
        block.append(name)
    yield text(block)
