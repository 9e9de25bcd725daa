"""Charts of one evaluation set, or of the same set in several studies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from unidet.evaluation.matching import RECALL_THRESHOLDS
from unidet.report.charts.axes import Axis, Frame
from unidet.report.charts.heat_map import Cells, heat_map
from unidet.report.charts.lines import Dot, Line, bars, diagonal, line_chart, scatter, unit
from unidet.report.charts.svg import Chart
from unidet.report.study import EvaluatedSet, Lines, Matrix, Number, ReliabilityFigures

SERIES = {
    "all": 0,
    "base": 1,
    "novel": 2,
    "rare": 3,
    "common": 4,
    "frequent": 5,
    "small": 3,
    "medium": 4,
    "large": 5,
}
"""Group of categories or sizes -> its colour in all charts."""
RECALLS = RECALL_THRESHOLDS.tolist()


def set_charts(evaluated: EvaluatedSet) -> Iterator[Chart]:
    """All charts of an evaluation set of one study."""
    names = {name: SERIES[name] for name in evaluated.precision}
    yield precision_chart(evaluated.precision, names)
    measured = {name: item for name, item in evaluated.reliability.items() if any(item.counts)}
    if measured:
        yield reliability_chart(measured, {name: SERIES[name] for name in measured})
        yield scores_chart(evaluated.reliability["all"])
    yield from categories_chart(evaluated)


def precision_chart(lines: Lines, series: Mapping[str, int], title: str = "") -> Chart:
    """Precision against recall, with one line per group of categories or per study."""
    drawn = [Line(name, RECALLS, values, series[name]) for name, values in lines.items()]
    areas = ", ".join(f"{name} {_mean(values):.3f}" for name, values in lines.items())
    return line_chart(
        title or "Precision against recall",
        Frame(unit("recall at IoU .5"), unit("precision")),
        drawn,
        "Precision against recall at IoU .5, mean over categories. Area under the line, which is "
        f"AP50: {areas or 'nothing is annotated'}.",
        note="IoU .5, mean over categories; the area under a line is AP50.",
    )


def reliability_chart(
    measured: Mapping[str, ReliabilityFigures], series: Mapping[str, int]
) -> Chart:
    """The fraction of correct detections against their score."""
    frame = Frame(unit("score"), unit("share of detections that are right"))
    drawn = []
    for name, item in measured.items():
        pairs = [(x, y) for x, y in zip(item.scores, item.shares, strict=True) if x is not None]
        xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
        drawn.append(Line(name, xs, ys, series[name], dots=True))
    errors = ", ".join(f"{name} {_shown(item.error)}" for name, item in measured.items())
    return line_chart(
        "Reliability of scores",
        frame,
        drawn,
        "Share of detections that are right at IoU .5 against their mean score, in ten bins. "
        f"Expected calibration error: {errors}.",
        before=diagonal(frame),
        note=f"On the diagonal a score is a probability. Expected calibration error: {errors}.",
    )


def scores_chart(item: ReliabilityFigures) -> Chart:
    """The distribution of scores, of all and of correct detections."""
    bins = len(item.counts)
    edges = [place / bins for place in range(bins + 1)]
    right = [count * (share or 0.0) for count, share in zip(item.counts, item.shares, strict=True)]
    top = max([10, *item.counts])
    shown = ", ".join(f"{edges[i]:g}–{edges[i + 1]:g}: {n:,}" for i, n in enumerate(item.counts))
    return bars(
        "Detections by score",
        Frame(unit("score"), Axis("detections", 0.5, top * 1.3, log=True)),
        edges,
        {"evaluated": item.counts, "right": right},
        f"Number of evaluated detections by score, on a logarithmic scale: {shown}.",
    )


def categories_chart(evaluated: EvaluatedSet) -> Iterator[Chart]:
    """AP of each category against its number of annotated boxes."""
    shown = [item for item in evaluated.categories if item.AP is not None and item.boxes > 0]
    if len(shown) < 2:
        return
    novel = [item for item in shown if item.novel]
    kinds = {"base": [item for item in shown if not item.novel], "novel": novel}
    if not novel:
        kinds = {"all": shown}
    groups = {
        name: [Dot(item.boxes, item.AP or 0.0, item.name) for item in items]
        for name, items in kinds.items()
    }
    best = sorted(shown, key=lambda item: (-(item.AP or 0.0), item.name))
    yield scatter(
        "Each category",
        Frame(Axis.of("annotated boxes", [item.boxes for item in shown], log=True), unit("AP")),
        groups,
        SERIES,
        f"AP of {len(shown)} categories against their annotated boxes. Best: {_names(best[:3])}; "
        f"worst: {_names(best[-3:])}.",
    )


def matrix_chart(matrix: Matrix) -> Chart:
    """The confusion matrix of the names with the most confusions."""
    totals = [max(sum(row), 1) for row in matrix.counts]
    values = [
        [count / total if count else None for count in row]
        for row, total in zip(matrix.counts, totals, strict=True)
    ]
    texts = [[str(count) if count else "" for count in row] for row in matrix.counts]
    cells = Cells(
        rows=matrix.names,
        columns=[*matrix.names, "other name", "missed"],
        values=values,
        texts=texts,
        row_label="annotated",
        column_label="found as",
        upright=True,
    )
    return heat_map(
        "Most confused names",
        cells,
        0.0,
        1.0,
        "Annotated boxes by their name and the name they are found under, for the "
        f"{len(matrix.names)} names that are confused most; the table beside it says the same.",
        note="Numbers are boxes; a cell's colour is its share of the row.",
    )


def _names(categories: Sequence) -> str:
    return ", ".join(f"{item.name} {item.AP:.2f}" for item in categories)


def _mean(values: Sequence[Number]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / max(len(known), 1)


def _shown(value: Number) -> str:
    return "–" if value is None else f"{value:.3f}"
