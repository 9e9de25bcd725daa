"""Charts of proposals, calibration and training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from unidet.report.charts.axes import Axis, Frame
from unidet.report.charts.heat_map import Cells, heat_map
from unidet.report.charts.lines import Line, line_chart, unit
from unidet.report.charts.svg import Chart
from unidet.report.html.set_charts import SERIES
from unidet.report.study import Lines, Number, Recall, Study, Sweep, Training

WARM_UP, ROOM = 0.1, 1.6  # first fraction of a run; limit of its losses, relative to later ones


def recall_charts(recall: Recall, closed: bool) -> Iterator[Chart]:
    """Recall by size of the boxes, and by novelty."""
    what = "detections" if closed else "proposals"
    for title, lines in (("by size", recall.lines), ("base and novel", recall.groups)):
        if lines:
            series = {name: SERIES[name] for name in lines}
            heading = f"Recall on {recall.name}, {title}"
            yield recall_chart(heading, what, recall.numbers, lines, series)


def recall_chart(
    title: str, what: str, numbers: Sequence[int], lines: Lines, series: Mapping[str, int]
) -> Chart:
    """Recall against the number of boxes per image."""
    frame = Frame(
        Axis(f"{what} of an image", numbers[0], numbers[-1], log=True, ticks=numbers),
        unit("recall, mean over IoU .5:.95"),
    )
    drawn = [Line(name, numbers, values, series[name], dots=True) for name, values in lines.items()]
    said = "; ".join(f"{name}: {_at(numbers, values)}" for name, values in lines.items())
    return line_chart(title, frame, drawn, f"Mean recall of the best {what} of an image. {said}.")


def _at(numbers: Sequence[int], values: Sequence[Number]) -> str:
    pairs = zip(numbers, values, strict=True)
    return ", ".join(f"{value:.3f} at {number}" for number, value in pairs if value is not None)


def sweep_charts(sweep: Sweep, study: Study) -> Iterator[Chart]:
    """One map of AP over β and γ for each maximum number of detections per image."""
    known = [v for grid in sweep.grids for row in grid.AP for v in row if v is not None]
    if not known:
        return
    place = None
    if study.beta in sweep.betas and study.gamma in sweep.gammas:
        place = (sweep.betas.index(study.beta), sweep.gammas.index(study.gamma))
    for grid in sweep.grids:
        best = max(
            ((value, beta, gamma) for beta, row in zip(sweep.betas, grid.AP, strict=True)
             for gamma, value in zip(sweep.gammas, row, strict=True) if value is not None),
            default=None,
        )  # fmt: skip
        cells = Cells(
            rows=[f"{beta:g}" for beta in sweep.betas],
            columns=[f"{gamma:g}" for gamma in sweep.gammas],
            values=grid.AP,
            texts=[["–" if v is None else f"{v:.3f}" for v in row] for row in grid.AP],
            row_label="β",
            column_label="γ",
            marked=place,
        )
        said = "" if best is None else f" Best: {best[0]:.3f} at β {best[1]:g}, γ {best[2]:g}."
        yield heat_map(
            f"AP on {sweep.name}, at most {grid.most} detections an image",
            cells,
            min(known),
            max(known),
            f"AP on {sweep.name} over β and γ, with at most {grid.most} detections an image.{said}",
            note="The frame marks the setting that this study reports." if place else "",
        )


def training_charts(training: Training) -> Iterator[Chart]:
    """Charts of the losses and of the learning rate."""
    stage, steps = training.stage, training.steps
    total = training.losses.get("loss", [])
    if len(steps) < 2:
        return
    parts = [name for name in training.losses if name != "loss"]
    lines = [Line("total", steps, total, 0)] if total else []
    lines += [
        Line(_plain(name), steps, training.losses[name], 1 + place)
        for place, name in enumerate(parts)
        if len(parts) > 1
    ]
    ends = [v for v in total if v is not None]
    said = f" from {ends[0]:.3g} to {ends[-1]:.3g}" if ends else ""
    frame, shown, note = loss_frame(lines)
    yield line_chart(
        f"Losses of stage {stage}",
        frame,
        shown,
        f"Losses of stage {stage} over {steps[-1]:,} steps; the total goes{said}.",
        note=note,
    )
    rates = [value for value in training.rate if value is not None]
    if rates:
        yield line_chart(
            f"Learning rate of stage {stage}",
            Frame(frame.across, Axis.of("learning rate", rates)),
            [Line("learning rate", steps, training.rate, 1)],
            f"Learning rate of stage {stage}: {max(rates):.3g} at most, {rates[-1]:.3g} at last.",
        )


def loss_frame(lines: Sequence[Line]) -> tuple[Frame, list[Line], str]:
    """Axes for losses, the lines without values above the axis, and a note if there are any."""
    high = _top([line.y for line in lines])
    cut = any(value is not None and value > high for line in lines for value in line.y)
    shown = [replace(line, y=[None if v and v > high else v for v in line.y]) for line in lines]
    frame = Frame(
        Axis.of("step", [max(line.x) for line in lines]), Axis.of("loss, smoothed", [high])
    )
    note = f"The first losses lie above {high:.3g} and outside the chart." if cut else ""
    return frame, shown, note


def _plain(name: str) -> str:
    return name.removeprefix("loss_").replace("_", " ")


def _top(lines: Sequence[Sequence[Number]]) -> float:
    """The highest value, but at most `ROOM` times the highest value after the warm-up."""
    values = [value for line in lines for value in line if value is not None]
    late = [v for line in lines for v in line[int(len(line) * WARM_UP) :] if v is not None]
    return min(max(values, default=1.0), ROOM * max(late, default=1.0))
