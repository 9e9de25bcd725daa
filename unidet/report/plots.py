"""Plots for artefacts and the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from unidet.report.labels import label

matplotlib.use("Agg")

_STYLE: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "text.parse_math": False,  # a $ in a name is a $
}


def loss_curves(log: pd.DataFrame, target: Path, title: str) -> None:
    """Every loss of a training log against the step, smoothed, with the total in black."""
    losses = [name for name in log.columns if name.startswith("loss")]
    window = max(1, len(log) // 25)
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        for name in losses:
            smooth = log[name].rolling(window, min_periods=1).mean()
            total = name == "loss"
            text = "total" if total else name.removeprefix("loss_").replace("_", " ")
            axes.plot(
                log["step"],
                smooth,
                label=text,
                color="black" if total else None,
                linewidth=1.8 if total else 1.2,
            )
        axes.set(xlabel="step", ylabel="loss", title=label(title, 60))
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, fontsize=8)
        figure.savefig(target, dpi=120)


def metric_curves(
    table: pd.DataFrame, along: str, metric: str, others: list[str], target: Path
) -> None:
    """`metric` against the column `along`, one line for each combination of `others`."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        groups = table.groupby(others) if others else [((), table)]
        for values, rows in groups:
            named = zip(others, values, strict=True)
            text = ", ".join(f"{key.rsplit('.', 1)[-1]} = {value}" for key, value in named)
            rows = rows.sort_values(along)
            axes.plot(rows[along], rows[metric], marker="o", markersize=3, label=label(text, 60))
        axes.set(xlabel=label(along), ylabel=label(metric))
        if others:
            axes.legend(frameon=False, fontsize=8)
        figure.savefig(target, dpi=120)


def calibration_curves(table: pd.DataFrame, target: Path, title: str) -> None:
    """AP against γ, one panel for each max detections per image (cap), one line for each β.

    `table` has the columns beta, gamma, cap and AP.
    """
    caps = sorted(table["cap"].unique())
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.1 * len(caps), 3.2), layout="constrained")
        panels = figure.subplots(1, len(caps), sharey=True, squeeze=False)[0]
        for axes, cap in zip(panels, caps, strict=True):
            for beta, rows in table[table["cap"] == cap].groupby("beta"):
                rows = rows.sort_values("gamma")
                axes.plot(
                    rows["gamma"], rows["AP"], marker="o", markersize=3, label=f"β = {beta:g}"
                )
            axes.set(xlabel="γ", title=f"max {cap} detections per image")
        panels[0].set_ylabel("AP")
        panels[-1].legend(frameon=False, fontsize=8)
        figure.suptitle(label(title, 60), fontsize=10)
        figure.savefig(target, dpi=120)


def category_bars(table: pd.DataFrame, target: Path) -> None:
    """AP of every category, sorted, novel ones in another colour (columns name, novel, AP).

    Two categories of one name have a bar each.
    """
    rows = table[table["AP"] >= 0].sort_values("AP")
    novel = rows["novel"].fillna(False).astype(bool)
    colours = novel.map({True: "#d95f02", False: "#1b6ca8"})
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(7, max(2.5, 0.16 * len(rows) + 0.8)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(rows)), rows["AP"], color=colours)
        axes.set_yticks(range(len(rows)), [label(str(name)) for name in rows["name"]])
        axes.tick_params(axis="y", labelsize=6)
        axes.grid(axis="y", visible=False)
        axes.margins(y=0.005)
        axes.set(xlabel="AP", title="AP by category (orange: novel, never labelled in training)")
        figure.savefig(target, dpi=120)
