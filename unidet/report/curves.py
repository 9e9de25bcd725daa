"""Curves of training runs: one panel per quantity, one colour per run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, MaxNLocator

from unidet.errors import UserError
from unidet.report.label_text import label
from unidet.report.logs.rows import TRAIN, VALIDATION
from unidet.report.logs.run import Run
from unidet.report.style import COLOURS, PAPER, figure_style, save

LOG_RATIO = 20  # ratio of largest to smallest loss from which the axis is logarithmic
PEAK_RATIO = 5  # the same for the ratio of the runs' maximum learning rates
LOG_DECADES = 1e4  # largest range of such an axis: a cosine may end at 1e-9
MARKED = 25  # curves with at most this many points have markers
SMOOTHED_PART = 25  # by default a loss is averaged over 1/25 of its rows
_ROOM = 0.05  # space above the highest value, as a fraction of it, for markers
_STYLES = ("-", "-.", ":")
_GREY = "#666666"
_LONGEST = 60  # maximum number of characters of a run's name in the legend
_BROKEN: Any = (0, (3, 1.5))
_FIRST = ("loss", "lr", "AP")
_TITLES = {"loss": "total loss", "lr": "learning rate"}
# Losses of decoder layers, denoising groups and auxiliary heads, and DETR's unweighted copies.
_AUXILIARY = re.compile(r"(^|[._])(aux|dn|enc|d\d+)([._]|$)|_\d+$|_unscaled$")


@dataclass(frozen=True)
class Curves:
    """Runs on one axis.

    Attributes:
        axis: "step" or "epoch".
        tables: one per run: its table with the position on that axis as column x.
    """

    axis: str
    runs: Sequence[Run]
    tables: Sequence[pd.DataFrame]

    def quantities(self) -> list[str]:
        """All quantities of all runs, in the order of the logs."""
        names = {name: None for table in self.tables for name in table.columns}
        return [name for name in names if name not in ("split", "epoch", "step", "x")]


def on_one_axis(runs: Sequence[Run], epoch_steps: int | None = None) -> Curves:
    """Puts runs on an axis of steps if all have them, else of epochs, with means per epoch.

    Args:
        epoch_steps: steps of one epoch, to convert epochs into steps.

    Raises:
        UserError: one log has only epochs, another only steps, and `epoch_steps` is not given.
    """
    steps = [_counts(run, "step") for run in runs]
    epochs = [_counts(run, "epoch") for run in runs]
    if epoch_steps or all(steps):
        tables = [_by_step(run.table, epoch_steps) for run in runs]
        return Curves("step", runs, tables)
    if all(epochs):
        return Curves("epoch", runs, [_by_epoch(run.table) for run in runs])
    bare, counting = runs[epochs.index(False)], runs[steps.index(False)]
    raise UserError(
        f"{bare.name} counts steps only and {counting.name} epochs only; give the steps of an "
        "epoch as --epoch-steps N, or draw them apart"
    )


def _counts(run: Run, axis: str) -> bool:
    rows = run.table[run.table["split"] == TRAIN]
    return bool((rows if len(rows) else run.table)[axis].notna().all())


def _by_step(table: pd.DataFrame, epoch_steps: int | None) -> pd.DataFrame:
    place = pd.to_numeric(table["step"])
    if place.isna().all():
        place = pd.to_numeric(table["epoch"]) * (epoch_steps or 1)
    # An evaluation before the first step is at 0.
    return table.assign(x=place.fillna(0))


def _by_epoch(table: pd.DataFrame) -> pd.DataFrame:
    table = table.assign(x=pd.to_numeric(table["epoch"]).fillna(0))
    means = table.groupby(["x", "split"], sort=True).mean(numeric_only=True)
    return means.reset_index()


def choose(curves: Curves, patterns: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """(quantities to draw, losses that are omitted).

    By default the total loss, the learning rate, AP, and the parts of the loss without those of
    auxiliary heads and layers; all quantities if there are none of these. Patterns such as "loss_*"
    or "AP*" select instead.

    Raises:
        UserError: a pattern matches nothing, or the logs contain only steps.
    """
    known = curves.quantities()
    if not known:
        names = ", ".join(run.name for run in curves.runs)
        raise UserError(f"{names}: holds steps and no loss, learning rate or metric to draw")
    if not patterns:
        parts = [name for name in known if "loss" in name and name not in _FIRST]
        hidden = [name for name in parts if _AUXILIARY.search(name)]
        first = [name for name in _FIRST if name in known]
        return [*first, *(name for name in parts if name not in hidden)] or known, hidden
    quantities: dict[str, None] = {}
    for pattern in patterns:
        fitting = [name for name in known if fnmatchcase(name, pattern)]
        if not fitting:
            raise UserError(f"no log has {pattern!r}; there are {', '.join(known)}")
        quantities.update(dict.fromkeys(fitting))
    return list(quantities), []


def draw_curves(
    curves: Curves,
    quantities: Sequence[str],
    target: Path,
    *,
    smooth: int | None = None,
    title: str = "",
) -> None:
    """Draws one panel per quantity, with one colour per run, on an axis of steps or epochs.

    Args:
        target: .png, .pdf or .svg.
        smooth: rows of the moving average of losses, 1 for none; the raw curve is drawn faintly.
            By default 1/25 of the rows, and none for means per epoch.

    Raises:
        UserError: the file cannot be written.
    """
    rows, columns = _grid(len(quantities))
    with figure_style(PAPER):
        figure = Figure(figsize=(2.7 * columns + 0.3, 1.9 * rows + 0.6), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        drawn = [
            _panel(axes, curves, name, smooth)
            for axes, name in zip(panels, quantities, strict=False)
        ]
        for axes in panels[len(quantities) :]:
            axes.remove()
        for axes in panels[max(0, len(quantities) - columns) : len(quantities)]:
            axes.tick_params(labelbottom=True)
        windows = sorted({window for _, windows in drawn for window in windows if window > 1})
        rows_of_means = " or ".join(map(str, windows))
        smoothing = f" (losses: mean of {rows_of_means} rows; faint: as logged)" if windows else ""
        figure.supxlabel(f"{curves.axis}{smoothing}", fontsize=8)
        _legend(figure, curves, any(dashed for dashed, _ in drawn), title)
        save(figure, target)


def _grid(count: int) -> tuple[int, int]:
    """Rows and columns: up to four panels in a row, with the fewest empty places."""
    if count <= 4:
        return 1, count
    columns = min((3, 4), key=lambda columns: -count % columns)
    return -(-count // columns), columns


def _panel(axes: Axes, curves: Curves, name: str, smooth: int | None) -> tuple[bool, set[int]]:
    """Draws one quantity; returns whether a validation curve is dashed, and window sizes."""
    drawn: list[np.ndarray] = []
    dashed, windows = False, set[int]()
    for index, table in enumerate(curves.tables):
        if name not in table:
            continue
        colour, style = _look(index)
        trained = _points(table, name, TRAIN)
        if len(trained):
            look = {"color": colour, "linestyle": style, "linewidth": _width(curves, name, index)}
            averaged = curves.axis == "epoch" or curves.runs[index].table["step"].isna().all()
            window = _window(name, len(trained), smooth, bool(averaged))
            windows.add(window)
            drawn.append(_line(axes, trained, look, window))
        tested = _points(table, name, VALIDATION)
        if len(tested):
            broken = len(trained) > 0
            dashed |= broken
            axes.plot(
                *tested.T,
                color=colour,
                linewidth=1.3,
                linestyle=_BROKEN if broken else style,
                marker="o" if len(tested) <= MARKED else None,
                markersize=2.6,
            )
            drawn.append(tested[:, 1])
    _axis(axes, curves, name, drawn)
    return dashed, windows


def _look(index: int) -> tuple[str, Any]:
    return COLOURS[index % len(COLOURS)], _STYLES[index // len(COLOURS) % len(_STYLES)]


def _points(table: pd.DataFrame, name: str, split: str) -> np.ndarray:
    """(N, 2) positions and values, finite ones only."""
    rows = table.loc[table["split"] == split, ["x", name]]
    points = rows.apply(pd.to_numeric).to_numpy(float)
    return points[np.isfinite(points).all(axis=1)]


def _window(name: str, rows: int, smooth: int | None, averaged: bool) -> int:
    """Rows of the moving average; odd, so that it is centred, unless given."""
    if "loss" not in name:
        return 1
    return smooth or (1 if averaged else rows // SMOOTHED_PART // 2 * 2 + 1)


def _width(curves: Curves, name: str, index: int) -> float:
    """Line width. Equal schedules overlap, so the first runs' lines are wider to stay visible."""
    return 1.2 + 0.6 * min(2, len(curves.runs) - 1 - index) if name == "lr" else 1.3


def _line(axes: Axes, points: np.ndarray, look: dict[str, Any], window: int) -> np.ndarray:
    """Draws the smoothed curve, with the raw one faintly behind it; returns the drawn values."""
    x, y = points.T
    if window > 1:
        axes.plot(x, y, color=look["color"], linewidth=0.6, alpha=0.22)
    mean = pd.Series(y).rolling(window, min_periods=1, center=True).mean().to_numpy()
    axes.plot(x, mean, marker="o" if len(x) <= MARKED else None, markersize=2.2, **look)
    return mean


def _axis(axes: Axes, curves: Curves, name: str, drawn: list[np.ndarray]) -> None:
    """Sets title, scale and ticks from the drawn values."""
    axes.set_title(_TITLES.get(name, label(name)))
    values = np.concatenate(drawn) if drawn else np.zeros(1)
    if _far_apart(name, drawn):
        axes.set_yscale("log", nonpositive="mask")
        if values[values > 0].min() < values.max() / LOG_DECADES:
            axes.set_ylim(bottom=values.max() / LOG_DECADES)
    elif values.min() >= 0:
        # Matplotlib's margin is a fraction of the values' span, which is 0 for equal values.
        axes.set_ylim(0, max(axes.get_ylim()[1], (1 + _ROOM) * values.max()))
        if name == "lr":
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    if curves.axis == "step":
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _far_apart(name: str, drawn: list[np.ndarray]) -> bool:
    """Whether a linear axis would flatten some of the curves."""
    if name == "lr":
        peaks = [values.max() for values in drawn]
        return bool(peaks) and min(peaks) > 0 and max(peaks) >= PEAK_RATIO * min(peaks)
    if "loss" not in name or not drawn:
        return False
    values = np.concatenate(drawn)
    return bool(values.min() > 0 and values.max() >= LOG_RATIO * values.min())


def _legend(figure: Figure, curves: Curves, dashed: bool, title: str) -> None:
    handles = []
    for index, run in enumerate(curves.runs):
        colour, style = _look(index)
        text = label(run.name, _LONGEST)
        handles.append(Line2D([], [], color=colour, linestyle=style, linewidth=1.8, label=text))
    if dashed:
        handles.append(Line2D([], [], color=_GREY, linewidth=1.3, label="training"))
        handles.append(
            Line2D([], [], color=_GREY, linewidth=1.3, label="validation", linestyle=_BROKEN)
        )
    widest = min(_LONGEST, max(len(run.name) for run in curves.runs))
    # A letter takes 0.08 inches at this font size, the line and the gaps 0.6.
    room = int(figure.get_figwidth() / (0.08 * widest + 0.6))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=max(1, min(len(handles), 5, room)),
        title=label(title, 80),
        title_fontsize=10,
    )


def long_table(curves: Curves, quantities: Sequence[str]) -> pd.DataFrame:
    """The values as rows: run, split, step or epoch, quantity, value; without smoothing."""
    parts = []
    for run, table in zip(curves.runs, curves.tables, strict=True):
        here = [name for name in quantities if name in table]
        long = table.melt(["split", "x"], here, var_name="quantity").dropna(subset="value")
        long.insert(0, "run", run.name)
        parts.append(long.rename(columns={"x": curves.axis}))
    return pd.concat(parts, ignore_index=True)
