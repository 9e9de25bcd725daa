"""A table of numbers as coloured cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unidet.report.charts.axes import WIDTH, drawing
from unidet.report.charts.svg import Chart, element, hint, shortened, words

# Matplotlib's viridis at nine equal steps: uniform in lightness, also for colour-blind readers.
_VIRIDIS = (
    *((68, 1, 84), (71, 45, 123), (59, 82, 139), (44, 114, 142), (33, 145, 140)),
    *((40, 174, 128), (94, 201, 98), (173, 220, 48), (253, 231, 37)),
)
_ROW, _TITLE = 26, 20


@dataclass(frozen=True)
class Cells:
    """Content of a heat map: R rows, C columns.

    Attributes:
        values: (R, C); None is an empty cell.
        texts: (R, C) labels in the cells.
        marked: row and column of the cell with a frame.
        upright: whether column names are written vertically, because they are long.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]
    texts: Sequence[Sequence[str]]
    row_label: str
    column_label: str
    marked: tuple[int, int] | None = None
    upright: bool = False


def heat_map(title: str, cells: Cells, low: float, high: float, says: str, note: str = "") -> Chart:
    """A chart of coloured cells with numbers; colours range from `low` to `high`."""
    longest = max((len(shortened(name, 18)) for name in cells.rows), default=1)
    left = 30 + 6.4 * longest
    names = [shortened(name, 18) for name in cells.columns]
    top = 6.0
    foot = _TITLE + (8 + 6.4 * max(map(len, names)) if cells.upright else 18)
    width = (WIDTH - left - 6) / max(len(cells.columns), 1)
    bottom = top + _ROW * len(cells.rows)
    content = []
    for row, name in enumerate(cells.rows):
        y = top + _ROW * row
        content.append(words(shortened(name, 18), left - 5, y + 17, text_anchor="end"))
        for column in range(len(cells.columns)):
            x = left + width * column
            content.append(_cell(cells, row, column, x, y, width, (low, high)))
    for column, name in enumerate(names):
        x = left + width * (column + 0.5)
        if cells.upright:
            place = f"translate({x + 4:.1f} {bottom + 7:.1f})rotate(-90)"
            content.append(words(name, 0, 0, text_anchor="end", transform=place))
        else:
            content.append(words(name, x, bottom + 16, text_anchor="middle"))
    if cells.marked is not None:
        row, column = cells.marked
        x, y = left + width * column, top + _ROW * row
        content.append(_frame(x, y, width))
    height = bottom + foot
    content.append(_axis_label(cells.column_label, (left + WIDTH) / 2, height - 5))
    turned = f"translate(13 {(top + bottom) / 2:.1f})rotate(-90)"
    content.append(
        words(cells.row_label, 0, 0, class_="axis", text_anchor="middle", transform=turned)
    )
    picture = drawing(WIDTH, height, element("g", "".join(content), class_="ticks"))
    return Chart(title, picture, says, note=note)


def _cell(
    cells: Cells, row: int, column: int, x: float, y: float, width: float, ends: tuple[float, float]
) -> str:
    value, text = cells.values[row][column], cells.texts[row][column]
    where = f"{cells.rows[row]}, {cells.columns[column]}: {text or 'none'}"
    box = {"x": x + 0.75, "y": y + 0.75, "width": width - 1.5, "height": _ROW - 1.5}
    if value is None:
        return element("rect", hint(where), class_="empty", **box)
    red, green, blue = colour(value, *ends)
    ink = "#000" if 0.299 * red + 0.587 * green + 0.114 * blue > 128 else "#fff"
    rect = element("rect", hint(where), fill=f"#{red:02x}{green:02x}{blue:02x}", **box)
    label = words(text, x + width / 2, y + 17, text_anchor="middle", style=f"fill:{ink}")
    return rect + (label if text else "")


def _frame(x: float, y: float, width: float) -> str:
    return element("rect", class_="marked", x=x, y=y, width=width, height=float(_ROW), rx=2)


def _axis_label(text: str, x: float, y: float) -> str:
    return words(text, x, y, class_="axis", text_anchor="middle")


def colour(value: float, low: float, high: float) -> tuple[int, int, int]:
    """The RGB colour of viridis between `low` and `high`; its middle if they are equal."""
    share = 0.5 if high <= low else min(max((value - low) / (high - low), 0.0), 1.0)
    place = share * (len(_VIRIDIS) - 1)
    first = min(int(place), len(_VIRIDIS) - 2)
    mix = place - first
    pairs = zip(_VIRIDIS[first], _VIRIDIS[first + 1], strict=True)
    red, green, blue = (round(a + (b - a) * mix) for a, b in pairs)
    return red, green, blue
