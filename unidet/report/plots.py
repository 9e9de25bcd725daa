"""Plots for artefacts and the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from unidet.data.overlap import Overlap
from unidet.data.stats import Statistics
from unidet.report.label_text import label
from unidet.report.style import COLOURS, MARKERS, PAPER, figure_style

matplotlib.use("Agg")

LEAST_SPAN = 0.05
"""Minimum span of an axis of AP or AR, so that tiny differences do not look large."""
_BASE, _NOVEL = COLOURS[0], COLOURS[1]
MOST_NAMES = 20
_STYLE: Any = {**PAPER, "axes.prop_cycle": cycler(color=[c for c in COLOURS if c != "#000000"])}


def loss_curves(log: pd.DataFrame, target: Path, title: str) -> None:
    """All losses of a training log against the step, smoothed; the total is black."""
    losses = [name for name in log.columns if name.startswith("loss")]
    window = max(1, len(log) // 25)
    with figure_style(_STYLE):
        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        for name in losses:
            smooth = log[name].rolling(window, min_periods=1).mean()
            total = name == "loss"
            text = "total" if total else name.removeprefix("loss_").replace("_", " ")
            axes.plot(
                log["step"],
                smooth,
                label=label(text),
                color="black" if total else None,
                linewidth=1.8 if total else 1.2,
            )
        mean = f" (mean of the last {window} rows)" if window > 1 else ""
        axes.set(xlabel="step", ylabel=f"loss{mean}", title=label(title, 60))
        axes.set_ylim(bottom=0)
        axes.legend()
        figure.savefig(target, dpi=120)


def metric_curves(
    table: pd.DataFrame, along: str, metric: str, others: list[str], target: Path
) -> None:
    """`metric` against the column `along`, one line per combination of values of `others`."""
    with figure_style(_STYLE):
        figure = Figure(figsize=(5.2, 3.6), layout="constrained")
        axes = figure.subplots()
        groups = table.groupby(others) if others else [((), table)]
        for number, (values, rows) in enumerate(groups):
            named = zip(others, values, strict=True)
            text = ", ".join(f"{key.rsplit('.', 1)[-1]} = {value}" for key, value in named)
            _sweep_line(axes, rows, along, metric, number, label(text, 60))
        axes.set(xlabel=label(along), ylabel=label(metric))
        _widen(axes)
        if others:
            axes.legend()
        figure.savefig(target, dpi=120)


def calibration_curves(table: pd.DataFrame, target: Path, title: str) -> None:
    """AP against γ: one panel per maximum number of detections (cap), one line per β.

    `table` has the columns beta, gamma, cap and AP.
    """
    caps = sorted(table["cap"].unique())
    with figure_style(_STYLE):
        figure = Figure(figsize=(3.1 * len(caps), 3.2), layout="constrained")
        panels = figure.subplots(1, len(caps), sharey=True, squeeze=False)[0]
        for axes, cap in zip(panels, caps, strict=True):
            groups = table[table["cap"] == cap].groupby("beta")
            for number, (beta, rows) in enumerate(groups):
                _sweep_line(axes, rows, "gamma", "AP", number, f"β = {beta:g}")
            axes.set(xlabel="γ", title=f"max {cap} detections per image")
        panels[0].set_ylabel("AP")
        _widen(panels[0])
        panels[-1].legend()
        figure.suptitle(label(title, 60), fontsize=10)
        figure.savefig(target, dpi=120)


def _sweep_line(
    axes: Axes, rows: pd.DataFrame, along: str, metric: str, number: int, text: str
) -> None:
    rows = rows.sort_values(along)
    marker = MARKERS[number % len(MARKERS)]
    axes.plot(rows[along], rows[metric], marker=marker, markersize=4, label=text)


def _widen(axes: Axes) -> None:
    """Extends the y axis to a span of `LEAST_SPAN`; not below 0 if all values are positive."""
    bottom, top = axes.get_ylim()
    missing = LEAST_SPAN - (top - bottom)
    if missing > 0:
        lowest = bottom - missing / 2
        shift = -min(lowest, 0) if bottom >= 0 else 0
        axes.set_ylim(lowest + shift, top + missing / 2 + shift)


def category_bars(table: pd.DataFrame, target: Path) -> None:
    """AP of every category, sorted; novel ones in another colour (columns name, novel, AP).

    Categories with equal names have one bar each; those with undefined AP have none.
    """
    rows = table[table["AP"] >= 0].sort_values("AP")
    novel = rows["novel"].fillna(False).astype(bool)
    colours = novel.map({True: _NOVEL, False: _BASE})
    with figure_style(_STYLE):
        figure = Figure(figsize=(7, max(2.5, 0.16 * len(rows) + 0.8)), layout="constrained")
        axes = figure.subplots()
        axes.barh(range(len(rows)), rows["AP"], color=colours)
        axes.set_yticks(range(len(rows)), [label(str(name)) for name in rows["name"]])
        axes.tick_params(axis="y", labelsize=6)
        axes.grid(axis="y", visible=False)
        axes.margins(y=0.005)
        axes.set(xlabel="AP", title="AP by category")
        bars = {_BASE: "base", _NOVEL: "novel: never labelled in training"}
        if novel.any():
            handles = [Patch(color=colour, label=text) for colour, text in bars.items()]
            axes.legend(handles=handles, loc="lower right")
        figure.savefig(target, dpi=120)


def data_overview(
    sets: Mapping[str, Statistics],
    box_sides: Mapping[str, np.ndarray],
    overlaps: Mapping[tuple[str, str], Overlap],
    target: Path,
) -> None:
    """Boxes of the most frequent names, and sizes of boxes, for each set.

    Below, if there are several label spaces: their overlap by name and by embedding.

    Args:
        box_sides: name of the set -> (M,) square roots of the boxes' areas, in pixels.
        overlaps: of all ordered pairs of label spaces.
    """
    totals: Counter[str] = Counter()
    for entry in sets.values():
        totals.update({name: boxes for name, (boxes, _) in entry.by_name.items()})
    names = [name for name, _ in totals.most_common(MOST_NAMES)]
    spaces = [*dict.fromkeys(one for one, _ in overlaps)]
    heights = [1.6 + 0.25 * max(len(names), 8), *([1.2 + 0.5 * len(spaces)] if spaces else [])]
    with figure_style(_STYLE):
        figure = Figure(figsize=(10, sum(heights)), layout="constrained")
        top, *below = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
        by_name, by_size = top.subplots(1, 2)
        _names_and_sizes(by_name, by_size, sets, box_sides, names)
        for part in below:
            by_name, by_embedding = part.subplots(1, 2)
            shares = {pair: entry.shared for pair, entry in overlaps.items()}
            _overlap_map(by_name, spaces, shares, "names of the row that the column has", "{:.0%}")
            cosines = {p: e.cosine for p, e in overlaps.items() if e.cosine is not None}
            title = "cosine of their embeddings to the column's nearest, mean"
            _overlap_map(by_embedding, spaces, cosines, title, "{:.2f}")
        figure.savefig(target, dpi=120)


def _overlap_map(
    axes: Axes, spaces: list[str], values: Mapping[tuple[str, str], float], title: str, form: str
) -> None:
    """A matrix over pairs of label spaces; empty if there are no values."""
    if not values:
        axes.set_axis_off()
        return
    table = np.full((len(spaces), len(spaces)), np.nan)
    for (one, other), value in values.items():
        row, column = spaces.index(one), spaces.index(other)
        table[row, column] = value
        colour = "white" if value > 0.6 else "black"
        axes.text(column, row, form.format(value), ha="center", va="center", color=colour)
    axes.imshow(table, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(spaces)), map(label, spaces))
    axes.set_yticks(range(len(spaces)), map(label, spaces))
    axes.grid(visible=False)
    axes.set_title(title)


def _names_and_sizes(
    by_name: Axes,
    by_size: Axes,
    sets: Mapping[str, Statistics],
    box_sides: Mapping[str, np.ndarray],
    names: list[str],
) -> None:
    thickness = 0.8 / len(sets)
    largest = max([2.0, *(float(sides.max(initial=2)) for sides in box_sides.values())])
    bounds: Any = np.geomspace(1, largest, 30)
    for place, (name, entry) in enumerate(sets.items()):
        rows = np.arange(len(names)) + place * thickness
        counts = [entry.by_name.get(category, (0, 0))[0] for category in names]
        by_name.barh(rows, counts, thickness, align="edge", label=label(name))
        by_size.hist(box_sides[name], bounds, histtype="step", label=label(name))
    by_name.set_yticks(np.arange(len(names)) + 0.4, map(label, names))
    by_name.invert_yaxis()
    by_name.set_xlabel("boxes")
    by_size.set(xlabel="side of a box (square root of its area), pixels", ylabel="boxes")
    by_size.set_xscale("log")
    ticks = [side for side in (1, 3, 10, 32, 96, 300, 1000, 3000) if side <= largest]
    by_size.set_xticks(ticks, map(str, ticks))
    by_size.minorticks_off()
    by_size.legend()
