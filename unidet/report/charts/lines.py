"""Line charts, points and bars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unidet.report.charts.axes import Axis, Frame
from unidet.report.charts.svg import SERIES, Chart, element, hint

Values = Sequence[float | None]


@dataclass(frozen=True)
class Line:
    """One line of a chart, with a gap at each value None.

    Attributes:
        series: number of its colour and dash pattern.
        dots: whether each value has a marker with a tooltip.
    """

    name: str
    x: Sequence[float]
    y: Values
    series: int = 0
    dots: bool = False


def line_chart(title: str, frame: Frame, lines: Sequence[Line], says: str, **more: str) -> Chart:
    """Lines over two axes, the first one on top.

    Args:
        says: description of the chart in words.
        more: `before`, SVG drawn below the lines; `note`, text under the chart.
    """
    drawn = [_line(frame, line) for line in reversed(lines)]
    legend = [(line.series % SERIES, line.name) for line in lines]
    return Chart(
        title,
        frame.picture(more.get("before", ""), *drawn),
        says,
        legend if len(lines) > 1 else [],
        more.get("note", ""),
    )


def _line(frame: Frame, line: Line) -> str:
    kind = f"line s{line.series % SERIES}"
    points = list(zip(line.x, line.y, strict=True))
    parts = [element("path", class_=kind, d=" ".join(_strokes(frame, points)))]
    if line.dots:
        parts += [
            element(
                "circle",
                hint(f"{line.name}: {x:g} → {y:.3f}"),
                class_=f"dot s{line.series % SERIES}",
                cx=frame.x(x),
                cy=frame.y(y),
                r=3.5,
            )
            for x, y in points
            if y is not None
        ]
    return "".join(parts)


def _strokes(frame: Frame, points: Sequence[tuple[float, float | None]]) -> Iterator[str]:
    pen = "M"
    for x, y in points:
        if y is None:
            pen = "M"
            continue
        yield f"{pen}{frame.x(x):.1f} {frame.y(y):.1f}"
        pen = "L"


def diagonal(frame: Frame) -> str:
    """A line through the points where both axes have the same value."""
    first, last = frame.up.low, frame.up.high
    path = f"M{frame.x(first):.1f} {frame.y(first):.1f}L{frame.x(last):.1f} {frame.y(last):.1f}"
    return element("path", class_="diagonal", d=path)


@dataclass(frozen=True)
class Dot:
    """One point of a scatter chart and its name."""

    x: float
    y: float
    name: str


def scatter(
    title: str,
    frame: Frame,
    groups: Mapping[str, Sequence[Dot]],
    series: Mapping[str, int],
    says: str,
    before: str = "",
) -> Chart:
    """Points in groups, later ones on top; each has a tooltip with its name."""
    drawn = []
    for group, dots in groups.items():
        drawn += [
            element(
                "circle",
                hint(f"{dot.name}: {dot.x:,.4g} → {dot.y:.3f}"),
                class_=f"speck s{series[group] % SERIES}",
                cx=frame.x(dot.x),
                cy=frame.y(dot.y),
                r=3.2,
            )
            for dot in dots
        ]
    legend = [(series[name], name) for name in groups] if len(groups) > 1 else []
    return Chart(title, frame.picture(before, *drawn), says, legend, mark="dot")


def bars(
    title: str,
    frame: Frame,
    edges: Sequence[float],
    groups: Mapping[str, Sequence[float]],
    says: str,
) -> Chart:
    """Bars between adjacent edges, with the groups side by side; zeros have no bar."""
    bottom, drawn = frame.y(frame.up.low), []
    for series, (name, values) in enumerate(groups.items()):
        for place, value in enumerate(values):
            if value <= 0:
                continue
            low, high = frame.x(edges[place]), frame.x(edges[place + 1])
            width = (high - low - 2) / len(groups)
            top = min(frame.y(value), bottom - 1)
            drawn.append(
                element(
                    "rect",
                    hint(f"{name}: {edges[place]:g}–{edges[place + 1]:g} → {value:,.0f}"),
                    class_=f"bar s{series % SERIES}",
                    x=low + 1 + series * width,
                    y=top,
                    width=width,
                    height=bottom - top,
                )
            )
    legend = [(series, name) for series, name in enumerate(groups)]
    return Chart(title, frame.picture(*drawn), says, legend, mark="bar")


def unit(label: str) -> Axis:
    """An axis from 0 to 1."""
    return Axis(label, 0.0, 1.0, ticks=(0, 0.2, 0.4, 0.6, 0.8, 1))
