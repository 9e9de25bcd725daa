"""Draws training logs as one figure, or writes them as one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unidet.report.curves import Curves, choose, draw_curves, long_table, on_one_axis
from unidet.report.logs.rows import TRAIN
from unidet.report.logs.run import Run, logs_at, read_runs
from unidet.report.spreadsheet import write_csv
from unidet.report.style import PICTURES
from unidet.store.disk import check_target, whole_file


def plot_logs(
    logs: Sequence[str],
    out: str,
    *,
    keys: Sequence[str] = (),
    names: Sequence[str] = (),
    smooth: int | None = None,
    epoch_steps: int | None = None,
    title: str = "",
) -> list[str]:
    """Draws the logs into `out`, or writes their values if it ends in .csv; returns a summary.

    Args:
        keys, names, smooth, epoch_steps: see `choose`, `read_runs`, `draw_curves`, `on_one_axis`.

    Raises:
        UserError: a log is unknown or empty, no log has one of the keys, or `out` is not writable.
    """
    target = Path(out)
    check_target(target, (*PICTURES, ".csv"), inputs=logs_at(logs))
    curves = on_one_axis(read_runs(logs, names), epoch_steps)
    quantities, hidden = choose(curves, keys)
    if target.suffix == ".csv":
        with whole_file(target) as partial:
            write_csv(long_table(curves, quantities), partial)
    else:
        draw_curves(curves, quantities, target, smooth=smooth, title=title)
    lines = [*_summary(curves), f"{out}: {', '.join(quantities)}"]
    if hidden:
        lines.append(f'left out: {len(hidden)} auxiliary losses; --keys "*loss*" draws them')
    return lines


def _summary(curves: Curves) -> list[str]:
    """One line per run: its length, last training loss, best AP, and repairs of the log."""
    width = max(len(run.name) for run in curves.runs)
    lines = []
    for run, table in zip(curves.runs, curves.tables, strict=True):
        facts = [f"{run.kind} log", f"{curves.axis} {table['x'].max():g}"]
        trained = table[table["split"] == TRAIN]
        if "loss" in table and (losses := trained["loss"].dropna()).size:
            facts.append(f"loss {losses.iloc[-1]:.4g}")
        if "AP" in table and (scores := table["AP"].dropna()).size:
            facts.append(f"best AP {scores.max():.4g}")
        lines.append(f"{run.name:<{width}}  {', '.join(facts + _repairs(run))}")
    return lines


def _repairs(run: Run) -> list[str]:
    repairs = []
    if run.replaced:
        repairs.append(f"rows written twice: {run.replaced}, the later ones count")
    if run.cut_off:
        repairs.append(f"incomplete last lines skipped: {run.cut_off}")
    if run.guessed_epoch:
        repairs.append(
            f"{run.guessed_epoch} steps an epoch assumed, the most in its log; the text log beside "
            "it would say how many"
        )
    return repairs
