"""The figure of a proposer study: recall by number, category and size, and cost, per network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from unidet.report.label_text import label
from unidet.report.style import COLOURS, MARKERS, PAPER, PICTURES, figure_style, save
from unidet.store.disk import check_target

CAPS = (10, 100, 300, 1000)
COLUMNS = (
    "proposer",
    *(f"AR@{cap}" for cap in CAPS),
    *("ARs@300", "ARm@300", "ARl@300"),
    *("AR_base@300", "AR_novel@300"),
    *("ms", "parameters"),
)
_TIMES_APART = 5  # ratio of the longest to the shortest time from which the axis is logarithmic
_NOVEL: Any = {"alpha": 0.4, "hatch": "////", "edgecolor": "white", "linewidth": 0}


def draw_proposer_study(table: pd.DataFrame, path: Path, title: str = "") -> None:
    """Draws four panels, with one colour and marker per proposer, in the order of the table.

    Recall against the number of proposals; recall of base and of novel categories; recall by size
    of the object; recall against time, with markers whose size shows the number of parameters.

    Args:
        table: one row per proposer, with the columns
            proposer                   its name, unique
            AR@10 … AR@1000            mean recall over IoU .5:.95 at this many proposals
            ARs@300, ARm@300, ARl@300  the same for small, medium and large objects
            AR_base@300, AR_novel@300  the same for categories with and without training labels
            ms                         milliseconds per image
            parameters                 number of trainable parameters
            Negative values and NaN are undefined and not drawn.
        path: .png, .pdf or .svg.

    Raises:
        UserError: the file cannot be written.
        ValueError: a column is missing, the table is empty, or a proposer occurs twice.
    """
    check_target(path, PICTURES)
    missing = [name for name in COLUMNS if name not in table]
    if missing or table.empty or table["proposer"].duplicated().any():
        raise ValueError(f"a row for each proposer, with {COLUMNS}; missing: {missing}")
    numbers = table.set_index("proposer")[list(COLUMNS[1:])].astype(float)
    numbers = numbers.where(numbers >= 0)
    with figure_style(PAPER):
        figure = Figure(figsize=(7.2, 5.2 + 0.09 * len(table)), layout="constrained")
        panels = figure.subplots(2, 2).ravel()
        _recall_by_number(panels[0], numbers)
        _base_and_novel(panels[1], numbers)
        _recall_by_size(panels[2], numbers)
        _recall_by_time(panels[3], numbers)
        _legend(figure, numbers, title)
        save(figure, path)


def _look(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def _lines(axes: Axes, numbers: pd.DataFrame, columns: Sequence[str], x: Sequence[float]) -> None:
    """Draws one line per proposer over these columns."""
    for index, values in enumerate(numbers[list(columns)].to_numpy()):
        axes.plot(x, values, linewidth=1.3, markersize=4, **_look(index))
    axes.set_ylim(bottom=0)


def _recall_by_number(axes: Axes, numbers: pd.DataFrame) -> None:
    _lines(axes, numbers, [f"AR@{cap}" for cap in CAPS], CAPS)
    axes.set_xscale("log")
    axes.set_xticks(CAPS, [str(cap) for cap in CAPS])
    axes.minorticks_off()
    axes.set(title="AR by number of proposals", xlabel="proposals per image", ylabel="AR")


def _recall_by_size(axes: Axes, numbers: pd.DataFrame) -> None:
    _lines(axes, numbers, ["ARs@300", "ARm@300", "ARl@300"], range(3))
    axes.set_xticks(range(3), ["small", "medium", "large"])
    axes.set_xlim(-0.2, 2.2)
    axes.set(title="AR@300 by size of the object", xlabel="object", ylabel="AR@300")


def _base_and_novel(axes: Axes, numbers: pd.DataFrame) -> None:
    """Draws two bars per proposer, from the top in the order of the table."""
    height = 0.38
    for index, (base, novel) in enumerate(numbers[["AR_base@300", "AR_novel@300"]].to_numpy()):
        colour = _look(index)["color"]
        axes.barh(index - height / 2, base, height, color=colour)
        axes.barh(index + height / 2, novel, height, color=colour, **_NOVEL)
        for place, value in ((index - height / 2, base), (index + height / 2, novel)):
            if np.isfinite(value):
                axes.annotate(
                    f"{value:.3f}".removeprefix("0"),
                    (value, place),
                    (2, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=6,
                )
        # The marker of the legend replaces the name.
        mark = axes.get_yaxis_transform()
        axes.plot(-0.035, index, markersize=4, clip_on=False, transform=mark, **_look(index))
    axes.set_ylim(len(numbers) - 0.4, -0.6)
    axes.set_yticks([])
    axes.margins(x=0.12)
    axes.set(title="AR@300 of base and of novel categories (hatched)", xlabel="AR@300")


def _recall_by_time(axes: Axes, numbers: pd.DataFrame) -> None:
    """Draws markers; their area grows with the square root of the parameters."""
    for index, (time, recall, count) in enumerate(
        numbers[["ms", "AR@300", "parameters"]].to_numpy()
    ):
        area = 12 + 0.02 * np.sqrt(np.nan_to_num(count))
        axes.scatter(
            time, recall, s=area, linewidths=0.5, edgecolors="white", zorder=3, **_look(index)
        )
    times = numbers["ms"].dropna()
    if len(times) and times.min() > 0 and times.max() >= _TIMES_APART * times.min():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(0.15)
    axes.set_ylim(bottom=0)
    axes.set(title="AR@300 by time (area: parameters)", xlabel="ms per image", ylabel="AR@300")


def _legend(figure: Figure, numbers: pd.DataFrame, title: str) -> None:
    handles = []
    for index, (name, count) in enumerate(numbers["parameters"].items()):
        size = "" if np.isnan(count) else f" ({count / 1e6:.1f} M)"
        text = f"{label(str(name))}{size}"
        handles.append(Line2D([], [], linewidth=1.3, markersize=4, label=text, **_look(index)))
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=min(len(handles), 3),
        title=label(title, 80),
        title_fontsize=10,
    )
